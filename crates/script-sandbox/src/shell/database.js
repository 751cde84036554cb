// `db` and its collections, and the start of the shell.
(function (world) {
  'use strict';

  const {
    add, all, define, has, home, list, ownKeys, plain, push, quietNames, refuse, reply, take,
    unknown, weakGet, weakSet, SafeProxy, SafeString, SafeWeakMap,
  } = world;

  // What handles are, for the console.
  const shownNames = new SafeWeakMap();

  const spelled = (name) => (world.exec(/^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*$/, name) !== null
    ? `.${name}` : `.getCollection('${name}')`);

  function databaseLabel({ name, session }) {
    if (session !== null) return `session.getDatabase('${name}')`;
    return name === home() ? 'db' : `db.getSiblingDB('${name}')`;
  }

  // ---- A collection

  const collectionLabel = (database, name) => `${databaseLabel(database)}${spelled(name)}`;

  function place(database, name) {
    const label = collectionLabel(database, name);
    return { __proto__: null, database, name, label, method: (of) => `${label}.${of}` };
  }

  const collectionMethods = {
    __proto__: null,
    ...world.reads,
    ...world.writes,
    ...world.about,
    explain: (at, { 0: verbosity }) => explainable(at, take.verbosity(verbosity, at.method('explain'))),
    getName: (at) => at.name,
    getFullName: (at) => `${at.database.name}.${at.name}`,
    getDB: (at) => handleOf(at.database),
  };

  // Calling what is no method says what there is.
  function collection(database, name, parent) {
    const at = place(database, name);
    const target = () => {};
    const self = new SafeProxy(target, {
      __proto__: null,
      get(_, key) {
        if (typeof key === 'symbol' || has(quietNames, key) || key === 'prototype') return undefined;
        if (key === 'toString') return () => `${database.name}.${name}`;
        const method = collectionMethods[key];
        if (method !== undefined) return (...args) => method(at, args);
        if (world.gone[key] !== undefined) return () => { throw refuse(`${at.method(key)} ${world.gone[key]}`, 'unknown_method'); };
        return collection(database, `${name}.${key}`, { label: at.label, what: 'a collection', key, known: ownKeys(collectionMethods) });
      },
      apply() {
        throw unknown(parent.label, parent.what, parent.key, parent.known);
      },
      set() { throw refuse(`${at.label}: a collection takes no properties`); },
      has: (_, key) => collectionMethods[key] !== undefined,
      getPrototypeOf: () => null,
    });
    weakSet(shownNames, self, at.label);
    return self;
  }

  function collectionOf(database, name, how) {
    return collection(database, take.collectionName(name), {
      label: databaseLabel(database), what: 'a database', key: how ?? name, known: ownKeys(databaseMethods),
    });
  }

  // ---- Explaining

  const explainedCommands = { __proto__: null, ...world.explainedReads, ...world.explainedWrites };

  function explainable(at, verbosity) {
    const label = `${at.label}.explain()`;
    const from = { ...at, __proto__: null, label, method: (of) => `${label}.${of}` };
    const methods = {
      __proto__: null,
      find: (args) => world.reads.find(from, args, verbosity),
      aggregate: (args) => world.reads.aggregate(from, args, verbosity),
    };
    const names = ownKeys(explainedCommands);
    for (let i = 0; i < names.length; i += 1) {
      methods[names[i]] = (args) => {
        const { given, command } = explainedCommands[names[i]](from, args, from.method(names[i]));
        const explained = { __proto__: null, explain: command, verbosity };
        return reply(from, from.method(names[i]), given, explained, (answer) => answer);
      };
    }
    const self = new SafeProxy({ __proto__: null }, {
      __proto__: null,
      get(_, key) {
        if (typeof key === 'symbol' || has(quietNames, key)) return undefined;
        if (methods[key] === undefined) throw unknown(label, 'what is explained', key, ownKeys(methods));
        return (...args) => methods[key](args);
      },
      getPrototypeOf: () => null,
    });
    weakSet(shownNames, self, label);
    return self;
  }

  // ---- A database

  const COLLECTION = [
    'capped', 'size', 'max', 'validator', 'validationLevel', 'validationAction', 'collation', 'timeseries', 'expireAfterSeconds',
    'clusteredIndex', 'changeStreamPreAndPostImages', 'viewOn', 'pipeline', 'storageEngine', 'indexOptionDefaults', 'writeConcern',
  ];
  const REST = ['comment', 'maxTimeMS'];
  // The portal gives what these list as rows.
  const LISTING = ['find', 'aggregate', 'listIndexes', 'listCollections'];

  const known = (label, what) => ({ __proto__: null, database: what, label, method: (of) => `${label}.${of}` });
  const here = (database) => known(databaseLabel(database), database);

  function asCommand(value, label) {
    if (typeof value === 'string') return { __proto__: null, [take.string(value, `the command of ${label}`)]: 1 };
    const names = take.names(take.document(value, `the command of ${label}`));
    if (names.length === 0) throw refuse(`${label}: the command is empty`);
    if (has(names, '$db')) throw refuse(`${label}: $db is not given; db.getSiblingDB('name').runCommand(…) runs elsewhere`);
    return value;
  }

  // A reply as the server would have sent it, made of the documents that the portal gives.
  function asReply(command, rows, database) {
    const name = take.names(command)[0];
    if (!has(LISTING, name) || command.explain === true) return rows[0];
    const ns = `${database.name}.${typeof command[name] === 'string' ? command[name] : '$cmd'}`;
    return { cursor: { firstBatch: rows, id: world.bson().Long.fromInt(0), ns }, ok: 1 };
  }

  function runCommand(database, method, { 0: value, 1: options }) {
    const label = here(database).method(method);
    const command = asCommand(value, label);
    const given = take.options(options, [], label);
    const on = method === 'adminCommand' ? { ...database, __proto__: null, name: 'admin' } : database;
    return all(here(on), label, given, command, (rows) => asReply(command, rows, on));
  }

  function listing(database, method, filter, given, finish) {
    const at = here(database);
    const command = { __proto__: null, listCollections: 1 };
    if (filter !== undefined && filter !== null) command.filter = take.document(filter, `the filter of ${at.method(method)}`);
    add(command, given, ['nameOnly', 'authorizedCollections', ...REST]);
    command.cursor = { __proto__: null };
    return all(at, at.method(method), given, command, finish);
  }

  function collectionNames(rows) {
    const names = list();
    for (let i = 0; i < rows.length; i += 1) push(names, rows[i].name);
    return plain(names).sort();
  }

  function create(database, method, name, given, made) {
    const at = here(database);
    const command = { __proto__: null, create: take.collectionName(name), ...made };
    return reply(at, at.method(method), given, add(command, given, [...COLLECTION, ...REST]), (answer) => answer);
  }

  const databaseMethods = {
    __proto__: null,
    getCollection: (database, { 0: name }) => collectionOf(database, name),
    collection: (database, { 0: name }) => collectionOf(database, name),
    getCollectionNames: (database) => (
      listing(database, 'getCollectionNames', undefined, { __proto__: null, nameOnly: true, authorizedCollections: true }, collectionNames)),
    getCollectionInfos: (database, { 0: filter, 1: options }) => listing(
      database, 'getCollectionInfos', filter,
      take.options(options, ['nameOnly', 'authorizedCollections'], here(database).method('getCollectionInfos')), (rows) => rows),
    runCommand: (database, args) => runCommand(database, 'runCommand', args),
    command: (database, args) => runCommand(database, 'command', args),
    adminCommand: (database, args) => runCommand(database, 'adminCommand', args),
    aggregate: (database, args) => world.aggregateOf(here(database), 1, args),
    createCollection: (database, { 0: name, 1: options }) => create(
      database, 'createCollection', name, take.options(options, COLLECTION, here(database).method('createCollection'))),
    createView: (database, { 0: name, 1: source, 2: pipeline, 3: options }) => {
      const label = here(database).method('createView');
      const made = { viewOn: take.string(source, `the source of ${label}`), pipeline: take.array(pipeline ?? [], `the pipeline of ${label}`) };
      return create(database, 'createView', name, take.options(options, ['collation'], label), made);
    },
    stats: (database, { 0: options }) => {
      const at = here(database);
      const given = world.scaleOf(options, at.method('stats'));
      const command = add({ __proto__: null, dbStats: 1 }, given, ['scale', ...REST]);
      return reply(at, at.method('stats'), given, command, (answer) => answer);
    },
    version: (database) => reply(
      here(database), here(database).method('version'), { __proto__: null }, { __proto__: null, buildInfo: 1 }, (answer) => answer.version),
    hello: (database) => reply(
      here(database), here(database).method('hello'), { __proto__: null }, { __proto__: null, hello: 1 }, (answer) => answer),
    getSiblingDB: (database, { 0: name }) => databaseHandle(take.databaseName(name), database.session),
    getDB: (database, { 0: name }) => databaseHandle(take.databaseName(name), database.session),
    getName: (database) => named(database),
    getMongo: (database) => mongo(database),
  };

  function named({ name }) {
    if (name === null) throw refuse('the request has no database yet; choose one');
    return name;
  }

  const mongo = (database) => ({
    startSession: () => world.startSession(),
    getDB: (name) => databaseHandle(take.databaseName(name), database.session),
    toString: () => 'the server of this request',
  });

  // What a text that is no command would say anyway, in the words of the terminal.
  const ABSENT = {
    __proto__: null,
    dropDatabase: 'dropDatabase is not there: a request works inside of its database and does not drop it',
    auth: 'auth is not there: the portal signs in', logout: 'logout is not there: the portal signs in',
    watch: 'watch is not there: a request comes to an end',
  };

  function handleOf(database) {
    const self = new SafeProxy({ __proto__: null }, {
      __proto__: null,
      get(_, key) {
        if (typeof key === 'symbol' || has(quietNames, key)) return undefined;
        if (key === 'toString') return () => SafeString(database.name);
        const method = databaseMethods[key];
        if (method !== undefined) return (...args) => method(database, args);
        if (ABSENT[key] !== undefined) return () => { throw refuse(ABSENT[key], 'unknown_method'); };
        return collectionOf(database, key);
      },
      set() { throw refuse('db takes no properties'); },
      has: (_, key) => databaseMethods[key] !== undefined,
      getPrototypeOf: () => null,
    });
    weakSet(shownNames, self, databaseLabel(database));
    return self;
  }

  const databaseHandle = (name, session) => handleOf({ __proto__: null, name, session });

  // Puts all of it into the world; `record` is for a text that is evaluated.
  function shell(database, record) {
    const bson = world.startTypes();
    world.captureMethods(bson);
    world.startOperations(database, record);
    const { console } = world;
    define('db', databaseHandle(database, null));
    define('print', console.log);
    define('printjson', console.log);
    define('MongoServerError', world.MongoServerError);
    return {
      __proto__: null, relaxed: world.relaxed, last: world.last, refusal: world.refusalOf, commands: world.commands,
    };
  }

  Object.assign(world, {
    shell, databaseHandle,
    shellName: (value) => (
      (typeof value === 'object' || typeof value === 'function') && value !== null
        ? weakGet(shownNames, value) ?? world.cursorName(value) : undefined),
  });
})
