// What the other files of a script's world are made of: the functions of the language as they were before any script had
// its turn. They run once, in order, and what they make is kept in the start-up snapshot. `world` is what they share; its
// `host` holds the few functions of the process around it. A script can spoil what is its own (prototypes, globals); it
// gains nothing by that, because every call is decided on by the portal.
(function (world) {
  'use strict';

  const { apply, defineProperty, ownKeys } = Reflect;
  const { isArray } = Array;
  const { freeze, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, is, setPrototypeOf } = Object;
  const { stringify } = JSON;
  const method = (prototype, name) => {
    const original = prototype[name];
    return (self, ...args) => apply(original, self, args);
  };
  // Arrays and objects of these files inherit nothing, so that no setter and no `toJSON` of a script gets at them.
  const list = () => setPrototypeOf([], null);
  const isView = ArrayBuffer.isView;
  const ArrayPrototype = Array.prototype;

  Object.assign(world, {
    apply, defineProperty, ownKeys, isArray, freeze, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, is, setPrototypeOf,
    stringify, method, list, isView,
    // A list as an array that a script may have.
    plain: (of) => setPrototypeOf(of, ArrayPrototype),
    trunc: Math.trunc, isInteger: Number.isInteger, isSafeInteger: Number.isSafeInteger, isFinite: Number.isFinite,
    SafeMap: Map, SafeSet: Set, SafeWeakMap: WeakMap, SafePromise: Promise, SafeString: String, SafeNumber: Number,
    SafeDate: Date, SafeRegExp: RegExp, SafeProxy: Proxy, SafeBigInt: BigInt, SafeSymbol: Symbol,
    SafeError: Error, SafeTypeError: TypeError, SafeRangeError: RangeError,
    SafeUint8Array: Uint8Array, SafeArrayBuffer: ArrayBuffer,
    push: method(Array.prototype, 'push'),
    shift: method(Array.prototype, 'shift'),
    join: method(Array.prototype, 'join'),
    mapGet: method(Map.prototype, 'get'),
    mapSet: method(Map.prototype, 'set'),
    mapDelete: method(Map.prototype, 'delete'),
    mapForEach: method(Map.prototype, 'forEach'),
    mapSize: method({ get: getOwnPropertyDescriptor(Map.prototype, 'size').get }, 'get'),
    setForEach: method(Set.prototype, 'forEach'),
    weakGet: method(WeakMap.prototype, 'get'),
    weakHas: method(WeakMap.prototype, 'has'),
    weakSet: method(WeakMap.prototype, 'set'),
    caught: method(Promise.prototype, 'catch'),
    then: method(Promise.prototype, 'then'),
    toISOString: method(Date.prototype, 'toISOString'),
    getTime: method(Date.prototype, 'getTime'),
    replaceAll: method(String.prototype, 'replaceAll'),
    slice: method(String.prototype, 'slice'),
    indexOf: method(String.prototype, 'indexOf'),
    isWellFormed: method(String.prototype, 'isWellFormed'),
    padStart: method(String.prototype, 'padStart'),
    toHex: method(Number.prototype, 'toString'),
    toFixed: method(Number.prototype, 'toFixed'),
    exec: method(RegExp.prototype, 'exec'),
    regExpToString: method(RegExp.prototype, 'toString'),
    symbolToString: method(Symbol.prototype, 'toString'),
    functionToString: method(Function.prototype, 'toString'),
    define: (name, value) =>
      defineProperty(globalThis, name, { __proto__: null, value, writable: true, configurable: true, enumerable: false }),
  });
})
