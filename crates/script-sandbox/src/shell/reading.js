// Reading a cursor's documents, piece by piece.
(function (world) {
  'use strict';

  const {
    apply, askNow, callOf, checkSession, documents, encode, execute, failed, list, plain, push, refuse, trunc, SafeNumber,
    SafeString,
  } = world;

  // Documents that are fetched at once, unless batchSize says otherwise.
  const PIECE = 1000;
  const MOST = 10_000;
  // What is known to be this short is read in one call.
  const FEW = 100;

  function use(state) {
    checkSession(state.operation);
    state.used = true;
  }

  function open(state) {
    use(state);
    const few = state.kind === 'find' && state.given.limit !== undefined && state.given.limit !== 0
      && state.given.limit >= -FEW && state.given.limit <= FEW;
    if (few || state.writes === true || state.explanation !== undefined) {
      state.buffer = execute(state.operation, state.command());
      state.done = true;
      return;
    }
    const answer = askNow(callOf(state.operation, 'open'), encode(state.operation, state.command()), failed);
    state.stream = answer.stream;
    state.buffer = documents(answer.rows);
    state.done = answer.stream === null;
  }

  function fetch(state) {
    const wanted = SafeNumber(SafeString(state.given.batchSize ?? PIECE));
    const rows = wanted >= 1 && wanted <= MOST ? trunc(wanted) : PIECE;
    let answer;
    try {
      answer = askNow({ __proto__: null, fetch: { __proto__: null, stream: state.stream, rows } }, '', failed);
    } catch (error) {
      // What went wrong first is told, whether the cursor can still be closed or not.
      try {
        close(state);
      } catch {
        state.done = true;
      }
      throw error;
    }
    state.buffer = documents(answer.rows);
    state.at = 0;
    state.done = answer.done;
  }

  function close(state) {
    const running = state.used && !state.done;
    state.used = true;
    state.done = true;
    state.buffer = list();
    state.at = 0;
    if (running && state.stream !== null) {
      askNow({ __proto__: null, close: { __proto__: null, stream: state.stream } }, '', failed);
    }
  }

  // Whether there is another document.
  function more(state) {
    if (!state.used) open(state);
    while (state.at >= state.buffer.length) {
      if (state.done) return false;
      fetch(state);
    }
    return true;
  }

  function next(state) {
    if (!more(state)) return null;
    let value = state.buffer[state.at];
    state.buffer[state.at] = undefined;
    state.at += 1;
    for (let i = 0; i < state.maps.length; i += 1) value = apply(state.maps[i], undefined, [value]);
    return value;
  }

  function toArray(state) {
    const all = list();
    while (more(state)) push(all, next(state));
    return plain(all);
  }

  function forEach(state, self, { 0: work }) {
    if (typeof work !== 'function') throw refuse(`${state.label}.forEach takes a function`);
    while (more(state)) {
      if (apply(work, undefined, [next(state)]) === false) return close(state);
    }
    return undefined;
  }

  function map(state, self, { 0: work }) {
    if (typeof work !== 'function') throw refuse(`${state.label}.map takes a function`);
    push(state.maps, work);
    return self;
  }

  function* iterate(state) {
    try {
      while (more(state)) yield next(state);
    } finally {
      close(state);
    }
  }

  async function* iterateLater(state) {
    try {
      while (more(state)) yield next(state);
    } finally {
      close(state);
    }
  }

  world.read = { __proto__: null, close, more, next, toArray, forEach, map, iterate, iterateLater };
})
