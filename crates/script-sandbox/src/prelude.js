// What a script finds in its world, made once and kept in the start-up snapshot. `host` holds the few functions of the
// process around it. A script can spoil what is its own (prototypes, globals); it gains nothing by that, because every
// call is decided on by the portal. What is needed after the script had its turn is kept in constants.
(function (host) {
  'use strict';

  const { apply, defineProperty, ownKeys } = Reflect;
  const { isArray } = Array;
  const { freeze, getOwnPropertyDescriptor, getPrototypeOf, is, setPrototypeOf } = Object;
  const { trunc } = Math;
  const { stringify } = JSON;
  const SafeMap = Map, SafeWeakMap = WeakMap, SafePromise = Promise, SafeString = String, SafeDate = Date;
  const SafeError = Error, SafeTypeError = TypeError, SafeRangeError = RangeError, SafeUint8Array = Uint8Array;
  const method = (prototype, name) => {
    const original = prototype[name];
    return (self, ...args) => apply(original, self, args);
  };
  const push = method(Array.prototype, 'push');
  const shift = method(Array.prototype, 'shift');
  const join = method(Array.prototype, 'join');
  const mapGet = method(Map.prototype, 'get');
  const mapSet = method(Map.prototype, 'set');
  const mapDelete = method(Map.prototype, 'delete');
  const mapForEach = method(Map.prototype, 'forEach');
  const setForEach = method(Set.prototype, 'forEach');
  const weakGet = method(WeakMap.prototype, 'get');
  const weakSet = method(WeakMap.prototype, 'set');
  const caught = method(Promise.prototype, 'catch');
  const toISOString = method(Date.prototype, 'toISOString');
  const getTime = method(Date.prototype, 'getTime');
  const replaceAll = method(String.prototype, 'replaceAll');
  const slice = method(String.prototype, 'slice');
  const isWellFormed = method(String.prototype, 'isWellFormed');
  const toHex = method(Number.prototype, 'toString');
  const padStart = method(String.prototype, 'padStart');
  const regExpToString = method(RegExp.prototype, 'toString');
  const symbolToString = method(Symbol.prototype, 'toString');
  const mapSize = method({ get: getOwnPropertyDescriptor(Map.prototype, 'size').get }, 'get');
  const isView = ArrayBuffer.isView;
  const SafeArrayBuffer = ArrayBuffer;
  // Arrays and objects of this text inherit nothing, so that no setter and no `toJSON` of a script gets at them.
  const list = () => setPrototypeOf([], null);

  // ---- Calls. One is under way at a time; the others wait here, in order.

  let limits = { maxCalls: 0, maxResult: 0 };
  let over = false;
  let calls = 0;
  let sent = 0;
  let underWay = null;
  const waiting = list();
  const sleeping = new SafeMap();
  let sleeps = 0;
  const failures = new SafeWeakMap();

  class DatabaseError extends Error {
    get name() { return 'DatabaseError'; }
  }

  function ask(call, statement) {
    if (over) throw new SafeError('the script is over; it makes no more database calls');
    if (calls >= limits.maxCalls) {
      throw new SafeRangeError(`a script makes no more than ${limits.maxCalls} database calls`);
    }
    calls += 1;
    // Made where the call is made, so that its stack leads there.
    const error = new DatabaseError('');
    const asked = stringify(call);
    return new SafePromise((resolve, reject) => {
      push(waiting, { number: 0, call: asked, statement, error, resolve, reject });
      proceed();
    });
  }

  // A call that cannot be sent has no number: the portal counts those that it gets.
  function proceed() {
    while (underWay === null && waiting.length > 0) {
      const next = shift(waiting);
      try {
        host.call(sent + 1, next.call, next.statement);
      } catch (error) {
        next.reject(error);
        continue;
      }
      sent += 1;
      next.number = sent;
      underWay = next;
    }
  }

  // The process hands in what came back: the answer and its rows, or a failure.
  function deliver(answer, failure) {
    const { number, error, resolve, reject } = underWay;
    underWay = null;
    if (failure === undefined) {
      resolve(answer);
    } else {
      const { kind, code, message, severity, detail, hint } = failure;
      const fields = { message, code, severity, detail, hint, refused: kind === 'refused' };
      const names = ownKeys(fields);
      for (let i = 0; i < names.length; i += 1) {
        const value = fields[names[i]];
        if (value !== undefined && value !== null) {
          const enumerable = names[i] !== 'message';
          defineProperty(error, names[i], { __proto__: null, value, writable: true, configurable: true, enumerable });
        }
      }
      weakSet(failures, error, number);
      reject(error);
    }
    proceed();
  }

  function wake(id) {
    const resolve = mapGet(sleeping, id);
    mapDelete(sleeping, id);
    resolve();
  }

  function sleep(milliseconds) {
    if (typeof milliseconds !== 'number' || !(milliseconds >= 0)) {
      throw new SafeTypeError('sleep takes a number of milliseconds, 0 or more');
    }
    sleeps += 1;
    const id = sleeps;
    return new SafePromise((resolve) => {
      mapSet(sleeping, id, resolve);
      host.sleep(milliseconds, id);
    });
  }

  // ---- Parameters, as node-postgres writes them.

  const LONGEST_ARRAY = 1_000_000;

  function text(value, what) {
    if (!isWellFormed(value)) throw new SafeTypeError(`${what} holds half of a surrogate pair`);
    return value;
  }

  function bytes(value) {
    const view = isView(value)
      ? new SafeUint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new SafeUint8Array(value);
    const digits = list();
    for (let i = 0; i < view.length; i += 1) push(digits, padStart(toHex(view[i], 16), 2, '0'));
    return `\\x${join(digits, '')}`;
  }

  function array(value, what, depth) {
    if (depth > 16) throw new SafeTypeError(`${what} is an array nested too deeply`);
    const { length } = value;
    if (length > LONGEST_ARRAY) throw new SafeTypeError(`${what} is an array of more than ${LONGEST_ARRAY} elements`);
    const parts = list();
    for (let i = 0; i < length; i += 1) {
      const element = value[i];
      if (element === null || element === undefined) push(parts, 'NULL');
      else if (isArray(element)) push(parts, array(element, what, depth + 1));
      else push(parts, `"${replaceAll(replaceAll(scalar(element, what), '\\', '\\\\'), '"', '\\"')}"`);
    }
    return `{${join(parts, ',')}}`;
  }

  function scalar(value, what) {
    switch (typeof value) {
      case 'string': return text(value, what);
      case 'number': case 'boolean': case 'bigint': return SafeString(value);
      case 'object':
        if (value instanceof SafeDate) {
          if (getTime(value) !== getTime(value)) throw new SafeTypeError(`${what} is an invalid Date`);
          return toISOString(value);
        }
        if (isView(value) || value instanceof SafeArrayBuffer) return bytes(value);
        return text(stringify(value, exact) ?? 'null', what);
      default: throw new SafeTypeError(`${what} is a ${typeof value}, which no database type can hold`);
    }
  }

  function parameters(values) {
    if (values === undefined || values === null) return [];
    if (!isArray(values)) throw new SafeTypeError('parameters are given as an array');
    const { length } = values;
    if (length > 65_535) throw new SafeRangeError('a statement takes no more than 65535 parameters');
    const texts = list();
    for (let i = 0; i < length; i += 1) {
      const value = values[i];
      const what = `parameter $${i + 1}`;
      if (value === null || value === undefined) push(texts, null);
      else push(texts, isArray(value) ? array(value, what, 0) : scalar(value, what));
    }
    return texts;
  }

  // ---- db

  function statement(first, values) {
    const given = typeof first === 'object' && first !== null ? first : { text: first, values };
    const { text: sql, values: own, rowMode } = given;
    if (typeof sql !== 'string') throw new SafeTypeError('the statement is given as a string');
    if (rowMode !== undefined && rowMode !== 'array') throw new SafeTypeError("rowMode is 'array' or left out");
    return { sql: text(sql, 'the statement'), values: parameters(own ?? values), arrays: rowMode === 'array' };
  }

  function result(answer, arrays) {
    const { command, fields, affected, rows } = answer;
    const taken = host.rows(rows, arrays);
    return { command, rowCount: affected ?? (fields.length > 0 ? taken.length : null), fields, rows: taken };
  }

  const execution = (parameters, inTransaction) => ({ __proto__: null, parameters, in_transaction: inTransaction });

  async function query(first, values, inTransaction) {
    const { sql, values: texts, arrays } = statement(first, values);
    const answer = await ask({ __proto__: null, query: execution(texts, inTransaction) }, sql);
    return result(answer, arrays);
  }

  // `check` throws once the transaction that the stream belongs to is over.
  async function* stream(first, values, options, check) {
    const { sql, values: texts, arrays } = statement(first, values);
    const batch = options?.batchSize ?? 500;
    if (!(batch >= 1 && batch <= 10_000)) throw new SafeRangeError('batchSize is between 1 and 10000');
    check?.();
    const opened = await ask({ __proto__: null, open: execution(texts, check !== undefined) }, sql);
    const number = opened.stream;
    const close = { __proto__: null, close: { __proto__: null, stream: number } };
    let closed = false;
    try {
      while (!closed) {
        closed = true;
        check?.();
        closed = false;
        const fetch = { __proto__: null, stream: number, rows: trunc(batch) };
        const answer = await ask({ __proto__: null, fetch }, '');
        closed = answer.done;
        const rows = host.rows(answer.rows, arrays);
        for (let i = 0; i < rows.length; i += 1) yield rows[i];
      }
    } catch (error) {
      // What went wrong first is told, whether the stream can still be closed or not.
      if (!closed) await caught(ask(close, ''), () => {});
      closed = true;
      throw error;
    } finally {
      if (!closed) await ask(close, '');
    }
  }

  async function transaction(work) {
    if (typeof work !== 'function') throw new SafeTypeError('db.transaction takes a function');
    await ask('begin', '');
    let open = true;
    const check = () => {
      if (!open) throw new SafeError('this transaction is over; its handle cannot be used any more');
    };
    const tx = freeze({
      query(first, values) { check(); return query(first, values, true); },
      stream(first, values, options) { check(); return stream(first, values, options, check); },
    });
    let value;
    try {
      value = await work(tx);
    } catch (error) {
      open = false;
      await ask('rollback', '');
      throw error;
    }
    open = false;
    try {
      await ask('commit', '');
    } catch (error) {
      // A commit that was refused leaves the transaction open.
      if (error.refused) await ask('rollback', '');
      throw error;
    }
    return value;
  }

  const db = freeze({
    query(first, values) { return query(first, values, false); },
    stream(first, values, options) { return stream(first, values, options); },
    transaction,
  });

  // ---- Showing values

  const DEPTH = 4, ELEMENTS = 100, LONGEST = 10_000;

  function quote(string) {
    return `'${replaceAll(replaceAll(replaceAll(string, '\\', '\\\\'), "'", "\\'"), '\n', '\\n')}'`;
  }

  function key(name) {
    return typeof name === 'symbol' ? `[${symbolToString(name)}]` : SafeString(name);
  }

  function className(value) {
    const prototype = getPrototypeOf(value);
    if (prototype === null) return '[Object: null prototype] ';
    const constructor = getOwnPropertyDescriptor(prototype, 'constructor')?.value;
    const name = typeof constructor === 'function' ? getOwnPropertyDescriptor(constructor, 'name')?.value : undefined;
    return typeof name === 'string' && name !== 'Object' && name !== '' ? `${name} ` : '';
  }

  const short = (string) => (string.length > LONGEST ? `${slice(string, 0, LONGEST)}…` : string);

  function errorText(error, depth, seen) {
    const { name, message, errors, cause } = error;
    const said = typeof message === 'string' ? short(message) : message;
    let shown = said === '' || said === undefined ? `${name}` : `${name}: ${said}`;
    if (depth === 0) return shown;
    const inside = { value: error, next: seen };
    if (isArray(errors)) {
      const inner = list();
      for (let i = 0; i < errors.length && i < 5; i += 1) push(inner, inspect(errors[i], depth - 1, inside));
      shown += ` [errors: ${join(inner, '; ')}]`;
    }
    if (cause !== undefined) shown += ` [cause: ${inspect(cause, depth - 1, inside)}]`;
    return shown;
  }

  // Getters are not called; what a proxy does, it does to its own script.
  function inspect(value, depth, seen) {
    switch (typeof value) {
      case 'string': return quote(short(value));
      case 'bigint': return `${value}n`;
      case 'symbol': return symbolToString(value);
      case 'function': return `[Function ${SafeString(getOwnPropertyDescriptor(value, 'name')?.value ?? '')}]`;
      case 'object': break;
      default: return is(value, -0) ? '-0' : SafeString(value);
    }
    if (value === null) return 'null';
    for (let outer = seen; outer !== null; outer = outer.next) if (outer.value === value) return '[Circular]';
    if (value instanceof SafeError) return `[${errorText(value, depth, seen)}]`;
    if (value instanceof SafeDate) return getTime(value) === getTime(value) ? toISOString(value) : 'Invalid Date';
    if (value instanceof RegExp) return regExpToString(value);
    if (value instanceof SafePromise) return 'Promise {}';
    const name = className(value);
    if (depth === 0) return isArray(value) ? '[Array]' : `[${name === '' ? 'Object' : slice(name, 0, -1)}]`;
    const inside = { value, next: seen };
    const parts = list();
    let left = 0;
    const add = (part) => (parts.length < ELEMENTS ? push(parts, part()) : (left += 1));
    if (isArray(value) || isView(value)) {
      const length = value.length ?? 0;
      for (let i = 0; i < length && i < ELEMENTS; i += 1) add(() => inspect(value[i], depth - 1, inside));
      left = length > ELEMENTS ? length - ELEMENTS : 0;
      if (left > 0) push(parts, `… ${left} more`);
      return `${isArray(value) ? '' : name}[${parts.length === 0 ? '' : ` ${join(parts, ', ')} `}]`;
    }
    if (value instanceof SafeMap) {
      mapForEach(value, (v, k) => add(() => `${inspect(k, depth - 1, inside)} => ${inspect(v, depth - 1, inside)}`));
    } else if (value instanceof Set) {
      setForEach(value, (v) => add(() => inspect(v, depth - 1, inside)));
    }
    const keys = ownKeys(value);
    for (let i = 0; i < keys.length; i += 1) {
      const property = getOwnPropertyDescriptor(value, keys[i]);
      if (property === undefined || !property.enumerable) continue;
      const shown = () => ('value' in property ? inspect(property.value, depth - 1, inside) : '[Getter]');
      add(() => `${key(keys[i])}: ${shown()}`);
    }
    if (left > 0) push(parts, `… ${left} more`);
    return `${name}{${parts.length === 0 ? '' : ` ${join(parts, ', ')} `}}`;
  }

  function shown(value) {
    try {
      return typeof value === 'string' ? value : inspect(value, DEPTH, null);
    } catch {
      return '[a value that cannot be shown]';
    }
  }

  const print = (level) => (...values) => {
    const parts = list();
    for (let i = 0; i < values.length; i += 1) push(parts, shown(values[i]));
    host.console(level, join(parts, ' '));
  };
  const console = {
    debug: print(0), log: print(1), info: print(2), warn: print(3), error: print(4), dir: print(1), trace: print(1),
  };

  // ---- The end

  let idle = null;

  // BigInt has no JSON; as a string it loses nothing.
  function exact(name, value) {
    return typeof value === 'bigint' ? SafeString(value) : value;
  }

  // What this gives inherits nothing, because a promise asks its value for a `then`.
  function serialize(value) {
    const given = (shape, json) => setPrototypeOf([shape, json], null);
    const tooLarge = () => new SafeRangeError(`the script's value is larger than ${limits.maxResult} bytes of JSON`);
    if (!isArray(value)) {
      const json = stringify(value, exact);
      if (json === undefined) return given('nothing', '');
      if (json.length > limits.maxResult) throw tooLarge();
      return given('single', json);
    }
    const lines = list();
    const count = value.length;
    let length = 0;
    for (let i = 0; i < count; i += 1) {
      const line = stringify(value[i], exact) ?? 'null';
      length += line.length + 1;
      if (length > limits.maxResult) throw tooLarge();
      push(lines, line);
    }
    return given('elements', join(lines, '\n'));
  }

  const busy = () => underWay !== null || waiting.length > 0 || mapSize(sleeping) > 0;

  // A script that does not wait for its calls is waited for.
  async function main(script) {
    const value = await script();
    while (busy()) await new SafePromise((next) => { idle = next; });
    over = true;
    return serialize(value);
  }

  // Called when nothing runs. True when that made something run.
  function settle() {
    if (idle === null || busy()) return false;
    const next = idle;
    idle = null;
    next();
    return true;
  }

  // What the process tells of something that nobody caught.
  function explain(value) {
    let message;
    over = true;
    try {
      message = value instanceof SafeError ? errorText(value, 2, null) : `Uncaught ${inspect(value, DEPTH, null)}`;
    } catch {
      message = 'an error that cannot be shown';
    }
    const call = typeof value === 'object' && value !== null ? weakGet(failures, value) : undefined;
    return [short(message), call];
  }

  // What a script has no use for goes away here: V8 puts some of it back when it makes a world from the snapshot.
  function configure(maxCalls, maxResult) {
    limits = { maxCalls, maxResult };
    over = false;
    for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics']) delete globalThis[name];
  }

  const AsyncFunction = getPrototypeOf(async function () {}).constructor;
  // Throws when the text is no body of a function by itself, for example because it closes the one around it.
  function check(text) {
    return new AsyncFunction(text) !== undefined;
  }

  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  define('db', db);
  define('console', console);
  define('sleep', sleep);
  define('DatabaseError', DatabaseError);
  return { deliver, wake, main, settle, explain, configure, check };
})
