// Cursors: what shapes their commands, until they are used, and what they can do.
(function (world) {
  'use strict';

  const {
    add, execute, has, list, needs, one, ownKeys, pending, placeholder, push, record, recording, refuse, take, SafeNumber,
    SafeProxy, SafeString, SafeSymbol, SafeWeakMap,
  } = world;
  const { close, more, next, toArray, forEach, map, iterate, iterateLater } = world.read;

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

  const asked = (state) => (state.kind === 'find' ? findCommand(state) : aggregateCommand(state));

  const explained = (command, verbosity) => (
    verbosity === undefined ? command : { __proto__: null, explain: command, verbosity });

  // What comes of an explainable collection is explained.
  const command = (state) => explained(asked(state), state.explanation);

  const countCommand = ({ name, given, explanation }) => (
    explained(add({ __proto__: null, count: name, query: given.filter }, given, COUNT), explanation));

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
    instead(state, self, label, countCommand(state), (rows) => (
      state.explanation === undefined ? world.count(rows[0]?.n) : rows[0])));

  const explain = (state, self, args, label) => (
    instead(state, self, label, explained(asked(state), take.verbosity(args[0], label)), (rows) => rows[0]));

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
    state.command = () => command(state);
    state.operation = world.withSession(world.operation(place, label, () => one(command(state))), given);
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
    const all = toArray(state);
    return state.explanation === undefined ? all : all[0];
  }

  Object.assign(world, {
    cursor, last, quietNames: QUIET,
    // Some pipelines are run for what they do and not for what they give.
    runCursor(value) {
      // It has no documents: it is run at once, and as a whole.
      stateOf(value).writes = true;
      if (!recording()) more(stateOf(value));
      return value;
    },
    cursorName: (value) => {
      const state = typeof value === 'object' && value !== null ? stateOf(value) : undefined;
      return state === undefined ? undefined : `[cursor of ${state.label}]`;
    },
  });
})
