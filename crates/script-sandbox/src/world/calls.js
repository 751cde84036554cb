// Calls and pauses. One call is under way at a time; the others wait here, in order.
(function (world) {
  'use strict';

  const {
    host, list, push, shift, defineProperty, ownKeys, stringify, weakGet, weakSet, mapGet, mapSet, mapDelete, mapSize,
    SafeMap, SafeWeakMap, SafePromise, SafeError, SafeTypeError, SafeRangeError,
  } = world;

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

  function count() {
    if (over) throw new SafeError('the script is over; it makes no more database calls');
    if (calls >= limits.maxCalls) {
      throw new SafeRangeError(`a script makes no more than ${limits.maxCalls} database calls`);
    }
    calls += 1;
  }

  function ask(call, statement) {
    count();
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

  function describe(error, fields) {
    const names = ownKeys(fields);
    for (let i = 0; i < names.length; i += 1) {
      const value = fields[names[i]];
      if (value !== undefined && value !== null) {
        const enumerable = names[i] !== 'message';
        defineProperty(error, names[i], { __proto__: null, value, writable: true, configurable: true, enumerable });
      }
    }
  }

  // Makes a call and waits for its answer right there. `failed` makes an error of a failure.
  function askNow(call, statement, failed) {
    count();
    sent += 1;
    const number = sent;
    let answered;
    try {
      answered = host.ask(number, stringify(call), statement);
    } catch (error) {
      sent -= 1;
      throw error;
    }
    if (answered.failure === undefined) return answered.answer;
    const error = failed(answered.failure);
    weakSet(failures, error, number);
    throw error;
  }

  // The process hands in what came back: the answer and its rows, or a failure.
  function deliver(answer, failure) {
    const { number, error, resolve, reject } = underWay;
    underWay = null;
    if (failure === undefined) {
      resolve(answer);
    } else {
      const { kind, code, message, severity, detail, hint } = failure;
      describe(error, { message, code, severity, detail, hint, refused: kind === 'refused' });
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

  const busy = () => underWay !== null || waiting.length > 0 || mapSize(sleeping) > 0;

  Object.assign(world, {
    DatabaseError, ask, askNow, describe, deliver, wake, sleep, busy,
    limits: () => limits,
    begin: (maxCalls, maxResult) => { limits = { maxCalls, maxResult }; over = false; },
    finish: () => { over = true; },
    failedCall: (error) => weakGet(failures, error),
  });
})
