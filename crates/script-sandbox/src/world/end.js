// From the beginning of a script to its end: what the process calls.
(function (world) {
  'use strict';

  const {
    list, push, join, isArray, getPrototypeOf, setPrototypeOf, stringify, exact, told, busy, limits, failedCall, define,
    SafePromise, SafeRangeError,
  } = world;

  let idle = null;
  // A script for MongoDB gives its values as the results of queries are given.
  let engine = null;

  // What this gives inherits nothing, because a promise asks its value for a `then`.
  function serialize(value) {
    const given = (shape, json) => setPrototypeOf([shape, json], null);
    const { maxResult } = limits();
    const tooLarge = () => new SafeRangeError(`the script's value is larger than ${maxResult} bytes of JSON`);
    const json = (part) => (engine === null ? stringify(part, exact) : engine.relaxed(part, maxResult));
    if (!isArray(value)) {
      const text = json(value);
      if (text === undefined) return given('nothing', '');
      if (text.length > maxResult) throw tooLarge();
      return given('single', text);
    }
    const lines = list();
    const count = value.length;
    let length = 0;
    for (let i = 0; i < count; i += 1) {
      const line = json(value[i]) ?? 'null';
      length += line.length + 1;
      if (length > maxResult) throw tooLarge();
      push(lines, line);
    }
    return given('elements', join(lines, '\n'));
  }

  // A script that does not wait for its calls is waited for.
  async function main(script) {
    const value = await script();
    while (busy()) await new SafePromise((next) => { idle = next; });
    const last = engine === null ? value : engine.last(value);
    world.finish();
    return serialize(last);
  }

  // Called when nothing runs. True when that made something run.
  function settle() {
    if (idle === null || busy()) return false;
    const next = idle;
    idle = null;
    next();
    return true;
  }

  // What the process tells of something that nobody caught: its text, the call that failed, and whether it is one of
  // the shell's own.
  function explain(value) {
    world.finish();
    const object = typeof value === 'object' && value !== null;
    const own = object ? engine?.refusal(value) : undefined;
    return [own?.message ?? told(value), object ? failedCall(value) : undefined, own?.code];
  }

  // What a script has no use for goes away here: V8 puts some of it back when it makes a world from the snapshot.
  function configure(maxCalls, maxResult) {
    world.begin(maxCalls, maxResult);
    for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics']) delete globalThis[name];
  }

  // Puts MongoDB's shell in the place of PostgreSQL's `db`. With `record` it runs nothing and remembers what was asked.
  function shell(database, record) {
    engine = world.shell(database, record);
  }

  const AsyncFunction = getPrototypeOf(async function () {}).constructor;
  // Throws when the text is no body of a function by itself, for example because it closes the one around it.
  function check(text) {
    return new AsyncFunction(text) !== undefined;
  }

  define('db', world.postgresql);
  define('console', world.console);
  define('sleep', world.sleep);
  define('DatabaseError', world.DatabaseError);
  world.exports = {
    deliver: world.deliver, wake: world.wake, main, settle, explain, configure, shell, check,
    commands: (value) => engine.commands(value),
  };
})
