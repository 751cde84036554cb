// What the portal's script processes are compared with: a parent that forks a child for each script, which the child
// runs with `vm`. For each line on standard input one script is run; its time in milliseconds is printed.
const { fork } = require('node:child_process');
const readline = require('node:readline');
const vm = require('node:vm');
const fs = require('node:fs');

if (process.argv[2] === 'child') {
  process.once('message', (text) => {
    const value = vm.runInNewContext(`(async () => {${text}\n})()`, { console });
    Promise.resolve(value).then((result) => {
      const resident = /VmRSS:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
      process.send({ result, resident: Number(resident) }, () => process.exit(0));
    });
  });
} else {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (text) => {
    const begun = process.hrtime.bigint();
    const child = fork(__filename, ['child']);
    child.once('message', ({ resident }) => {
      const took = Number(process.hrtime.bigint() - begun) / 1e6;
      process.stdout.write(`${took} ${resident}\n`);
    });
    child.send(text);
  });
}
