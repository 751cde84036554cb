// Cursors. What shapes a command may be asked until the cursor is used; what reads documents reads them piece by piece.
(function (world) {
  'use strict';

  const {
    add, apply, askNow, callOf, checkSession, documents, encode, execute, failed, has, host, isArray, list, needs, one,
    ownKeys, pending, placeholder, plain, push, record, recording, refuse, revive, take, trunc, SafeNumber, SafeProxy, SafeString,
    SafeSymbol, SafeWeakMap,
  } = world;

  // Documents that are fetched at once, unless batchSize says otherwise.
  const PIECE = 1000;
  const MOST = 10_000;
  // What is known to be this short is read in one call.
  const FEW = 100;

  const FIND = [
    'sort', 'projection', 'hint', 'skip', 'limit', 'singleBatch', 'batchSize', 'comment', 'maxTimeMS', 'readConcern',
    'collation', 'min', 'max', 'returnKey', 'showRecordId', 'allowDiskUse', 'let',
  ];
  const COUNT = ['limit', 'skip', 'hint', 'collation', 'comment', 'maxTimeMS', 'readConcern'];
  const AGGREGATE = [
    'allowDiskUse', 'bypassDocumentValidation', 'collation', 'comment', 'hint', 'let', 'maxTimeMS', 'readConcern',
    'writeConcern',
  ];

  const states = new SafeWeakMap();
  const stateOf = (value) => world.weakGet(states, value);

  // What the shell sends for a cursor's settings.
  function findCommand({ name, given }) {
    const { filter, limit, ...rest } = given;
    const shaped = { __proto__: null, ...rest };
    if (limit !== undefined && limit !== 0) shaped.limit = limit < 0 ? -limit : limit;
    if (limit < 0) shaped.singleBatch = true;
    return add({ __proto__: null, find: name, filter }, shaped, FIND);
  }

  function aggregateCommand({ name, given }) {
    const cursor = { __proto__: null };
    if (given.batchSize !== undefined) cursor.batchSize = given.batchSize;
    return add({ __proto__: null, aggregate: name, pipeline: given.pipeline, cursor }, given, AGGREGATE);
  }

  const countCommand = ({ name, given }) => add({ __proto__: null, count: name, query: given.filter }, given, COUNT);

  const command = (state) => (state.kind === 'find' ? findCommand(state) : aggregateCommand(state));

  const explained = (state, verbosity) => ({ __proto__: null, explain: command(state), verbosity });

  // ---- Shaping

  function shape(state, self, name, value) {
    if (state.used) throw refuse(`${state.label}: the cursor is in use; ${name} comes before its documents are read`);
    state.given[name] = value;
    return self;
  }

  const setter = (name, check) => (state, self, args, label) => shape(state, self, name, check(args[0], `what ${label} takes`));
  const hint = (value, label) => (typeof value === 'string' ? value : take.document(value, label));
  const any = (value) => value;
  const orTrue = (value, label) => take.flag(value ?? true, label);
  const limit = (value, label) => {
    const number = SafeNumber(SafeString(value));
    if (!world.isInteger(number)) throw refuse(`${label} is an integer; this is ${take.told(value)}`);
    return number;
  };
  const level = (value, label) => (typeof value === 'string' ? { __proto__: null, level: value } : take.document(value, label));

  const COMMON = {
    __proto__: null,
    hint: setter('hint', hint),
    collation: setter('collation', take.document),
    batchSize: setter('batchSize', take.natural),
    comment: setter('comment', any),
    maxTimeMS: setter('maxTimeMS', take.natural),
    allowDiskUse: setter('allowDiskUse', orTrue),
    readConcern: setter('readConcern', level),
  };

  // A stage after those that there are.
  const stage = (name, check) => (state, self, args, label) => {
    const pipeline = list();
    for (let i = 0; i < state.given.pipeline.length; i += 1) push(pipeline, state.given.pipeline[i]);
    push(pipeline, { __proto__: null, [name]: check(args[0], `what ${label} takes`) });
    return shape(state, self, 'pipeline', pipeline);
  };

  // ---- Reading

  function use(state) {
    checkSession(state.operation);
    state.used = true;
  }

  function open(state) {
    use(state);
    const few = state.kind === 'find' && state.given.limit !== undefined && state.given.limit !== 0
      && state.given.limit >= -FEW && state.given.limit <= FEW;
    if (few) {
      state.buffer = execute(state.operation, command(state));
      state.done = true;
      return;
    }
    const answer = askNow(callOf(state.operation, 'open'), encode(state.operation, command(state)), failed);
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

  // ---- What ends in another command

  // A text's cursor turns into it; a script's asks for it beside.
  function instead(state, self, label, made, finish) {
    const operation = { __proto__: null, ...state.operation, label, commands: () => one(made) };
    if (!recording()) return finish(execute(operation, made));
    if (state.used) return placeholder(record(operation));
    state.used = true;
    pending.set(self, { __proto__: null, label });
    state.operation.label = label;
    state.operation.commands = operation.commands;
    return placeholder(state.operation);
  }

  const counted = (state, self, args, label) => (
    instead(state, self, label, countCommand(state), (rows) => world.count(rows[0]?.n)));

  const explain = (state, self, args, label) => (
    instead(state, self, label, explained(state, take.verbosity(args[0], label)), (rows) => rows[0]));

  // What gives the documents themselves keeps a text's command as it is.
  const whole = (read) => (state, self, args) => (recording() ? placeholder(state.operation) : read(state, args));
  const reading = (read) => (state, self, args, label) => {
    if (recording()) throw needs(label);
    return read(state, self, args);
  };

  const READING = {
    __proto__: null,
    toArray: whole(toArray),
    itcount: whole((state) => toArray(state).length),
    pretty: (state, self) => self,
    next: reading(next),
    tryNext: reading(next),
    hasNext: reading(more),
    forEach: reading(forEach),
    map: reading(map),
    close: reading(close),
    isClosed: reading((state) => state.used && state.done && state.at >= state.buffer.length),
    isExhausted: reading((state) => state.used && state.done && state.at >= state.buffer.length),
    objsLeftInBatch: reading((state) => state.buffer.length - state.at),
    explain,
  };

  const METHODS = {
    __proto__: null,
    find: {
      __proto__: null,
      sort: setter('sort', take.document),
      limit: setter('limit', limit),
      skip: setter('skip', take.natural),
      projection: setter('projection', take.document),
      project: setter('projection', take.document),
      min: setter('min', take.document),
      max: setter('max', take.document),
      returnKey: setter('returnKey', orTrue),
      showRecordId: setter('showRecordId', orTrue),
      ...COMMON,
      count: counted,
      size: counted,
      ...READING,
    },
    aggregate: {
      __proto__: null,
      sort: stage('$sort', take.document),
      limit: stage('$limit', take.natural),
      skip: stage('$skip', take.natural),
      projection: stage('$project', take.document),
      project: stage('$project', take.document),
      ...COMMON,
      ...READING,
    },
  };

  // What every object is asked by the language itself.
  const QUIET = ['then', 'toJSON', 'constructor', 'valueOf', '__proto__'];

  const handler = (state) => ({
    __proto__: null,
    get(target, name, self) {
      if (name === SafeSymbol.iterator || name === SafeSymbol.asyncIterator) {
        if (recording()) throw needs(`Going through ${state.label}`);
        return name === SafeSymbol.iterator ? () => iterate(state) : () => iterateLater(state);
      }
      if (name === SafeSymbol.toPrimitive && recording()) throw needs(`Reading what ${state.label} gives`);
      if (typeof name === 'symbol' || has(QUIET, name)) return undefined;
      const { methods } = state;
      if (name === 'toString') return () => `[cursor of ${state.label}]`;
      if (methods[name] === undefined) throw world.unknown(state.label, state.kind === 'find' ? 'a cursor' : "an aggregation's cursor", name, ownKeys(methods));
      return (...args) => methods[name](state, self, args, `${state.label}.${name}`);
    },
    has: (target, name) => typeof name === 'string' && state.methods[name] !== undefined,
    set() { throw refuse(`${state.label}: a cursor takes no properties`); },
    ownKeys: () => [],
    getPrototypeOf: () => null,
  });

  // `given` holds the filter or the pipeline, and the options.
  function cursor(place, kind, name, label, given, explanation) {
    const state = {
      __proto__: null, kind, name, label, given, methods: METHODS[kind], maps: list(), explanation,
      used: false, done: false, stream: null, buffer: list(), at: 0,
    };
    const make = () => one(explanation === undefined ? command(state) : explained(state, explanation));
    state.operation = world.withSession(world.operation(place, label, make), given);
    const self = new SafeProxy({ __proto__: null }, handler(state));
    world.weakSet(states, self, state);
    pending.set(self, state.operation);
    if (recording()) record(state.operation);
    return self;
  }

  // What a script's last value is: a cursor is its documents.
  function last(value) {
    const state = typeof value === 'object' && value !== null ? stateOf(value) : undefined;
    if (state === undefined) return value;
    return state.explanation === undefined ? toArray(state) : execute(state.operation, explained(state, state.explanation))[0];
  }

  Object.assign(world, {
    cursor, last, quietNames: QUIET,
    // Some pipelines are run for what they do and not for what they give.
    runCursor(value) {
      if (!recording()) more(stateOf(value));
      return value;
    },
    cursorName: (value) => {
      const state = typeof value === 'object' && value !== null ? stateOf(value) : undefined;
      return state === undefined ? undefined : `[cursor of ${state.label}]`;
    },
  });
})
