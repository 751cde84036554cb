// How values are shown, and the console.
(function (world) {
  'use strict';

  const {
    host, list, push, join, slice, replaceAll, isArray, isView, is, ownKeys, getOwnPropertyDescriptor, getPrototypeOf,
    mapForEach, setForEach, getTime, toISOString, regExpToString, symbolToString,
    SafeMap, SafeSet, SafeString, SafeError, SafeDate, SafeRegExp, SafePromise,
  } = world;

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
      case 'function':
        return world.shown?.(value) ?? `[Function ${SafeString(getOwnPropertyDescriptor(value, 'name')?.value ?? '')}]`;
      case 'object': break;
      default: return is(value, -0) ? '-0' : SafeString(value);
    }
    if (value === null) return 'null';
    for (let outer = seen; outer !== null; outer = outer.next) if (outer.value === value) return '[Circular]';
    const own = world.shown?.(value, (inner) => inspect(inner, depth === 0 ? 0 : depth - 1, { value, next: seen }));
    if (own !== undefined) return own;
    if (value instanceof SafeError) return `[${errorText(value, depth, seen)}]`;
    if (value instanceof SafeDate) return getTime(value) === getTime(value) ? toISOString(value) : 'Invalid Date';
    if (value instanceof SafeRegExp) return regExpToString(value);
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
    } else if (value instanceof SafeSet) {
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

  // BigInt has no JSON; as a string it loses nothing.
  function exact(name, value) {
    return typeof value === 'bigint' ? SafeString(value) : value;
  }

  // What the process tells of something that nobody caught.
  function told(value) {
    try {
      return short(value instanceof SafeError ? errorText(value, 2, null) : `Uncaught ${inspect(value, DEPTH, null)}`);
    } catch {
      return 'an error that cannot be shown';
    }
  }

  Object.assign(world, { console, exact, told, inspect, quote });
})
