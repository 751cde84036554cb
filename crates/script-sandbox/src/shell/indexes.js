// The methods of a collection that are about itself and its indexes.
(function (world) {
  'use strict';

  const { add, all, join, kind, list, one, plain, push, refuse, reply, take, SafeMap, SafeNumber, SafeString } = world;

  const INDEX = [
    'name', 'unique', 'sparse', 'expireAfterSeconds', 'partialFilterExpression', 'collation', 'background', 'hidden',
    'storageEngine', 'weights', 'default_language', 'language_override', 'textIndexVersion', '2dsphereIndexVersion', 'bits',
    'min', 'max', 'wildcardProjection', 'v',
  ];
  const ABOUT = ['commitQuorum', 'writeConcern'];
  const REST = ['commitQuorum', 'writeConcern', 'comment', 'maxTimeMS'];
  const NAMESPACE_NOT_FOUND = 26;

  // Keys as they are sent, and the name that the drivers give an index.
  function keyOf(keys, what) {
    if (typeof keys === 'string') {
      if (keys === '') throw refuse(`${what} are empty`);
      return { key: { __proto__: null, [keys]: 1 }, name: `${keys}_1` };
    }
    take.document(keys, what);
    const parts = list();
    const names = take.names(keys);
    for (let i = 0; i < names.length; i += 1) {
      const value = keys instanceof SafeMap ? world.mapGet(keys, names[i]) : keys[names[i]];
      const shown = kind(value) === undefined ? SafeString(value) : SafeString(SafeNumber(SafeString(value)));
      push(parts, `${names[i]}_${shown}`);
    }
    if (parts.length === 0) throw refuse(`${what} are empty`);
    return { key: keys, name: join(parts, '_') };
  }

  function index(keys, given, what) {
    const { key, name } = keyOf(keys, what);
    const made = { __proto__: null, key, name: given.name ?? name };
    return add(made, given, world.indexOptions);
  }
  world.indexOptions = list();
  for (let i = 1; i < INDEX.length; i += 1) push(world.indexOptions, INDEX[i]);

  function names(indexes) {
    const given = list();
    for (let i = 0; i < indexes.length; i += 1) push(given, indexes[i].name);
    return plain(given);
  }

  function about(at, label, given, quorum, indexes, finish) {
    if (quorum !== undefined && quorum !== null) given.commitQuorum = quorum;
    const command = add({ __proto__: null, createIndexes: at.name, indexes }, given, REST);
    return reply(at, label, given, command, finish);
  }

  function createIndex(at, { 0: keys, 1: options, 2: quorum }) {
    const label = at.method('createIndex');
    const given = take.options(options, [...INDEX, ...ABOUT], label);
    const made = index(keys, given, `the keys of ${label}`);
    return about(at, label, given, quorum, one(made), () => made.name);
  }

  function createIndexes(at, { 0: all, 1: options, 2: quorum }) {
    const label = at.method('createIndexes');
    const given = take.options(options, [...INDEX, ...ABOUT], label);
    take.array(all, `what ${label} takes first`);
    if (all.length === 0) throw refuse(`${label} takes at least one index`);
    const indexes = list();
    for (let i = 0; i < all.length; i += 1) push(indexes, index(all[i], given, `the keys of index ${i} of ${label}`));
    return about(at, label, given, quorum, indexes, () => names(indexes));
  }

  function dropIndex(at, { 0: which, 1: options }) {
    const label = at.method('dropIndex');
    const given = take.options(options, ['writeConcern'], label);
    if (which === '*') throw refuse(`${label} drops one index; dropIndexes() drops all of them`);
    if (typeof which !== 'string') take.document(which, `what ${label} drops, unless it is a name,`);
    const command = add({ __proto__: null, dropIndexes: at.name, index: which }, given, REST);
    return reply(at, label, given, command, (answer) => answer);
  }

  function dropIndexes(at, { 0: which, 1: options }) {
    const label = at.method('dropIndexes');
    const given = take.options(options, ['writeConcern'], label);
    if (which !== undefined && typeof which !== 'string' && !world.isArray(which)) {
      take.document(which, `what ${label} drops, unless it is a name or an array of names,`);
    }
    const command = add({ __proto__: null, dropIndexes: at.name, index: which ?? '*' }, given, REST);
    return reply(at, label, given, command, (answer) => answer);
  }

  function getIndexes(at, { 0: options }) {
    const label = at.method('getIndexes');
    const given = take.options(options, ['batchSize'], label);
    const cursor = add({ __proto__: null }, given, ['batchSize']);
    const command = add({ __proto__: null, listIndexes: at.name, cursor }, given, REST);
    return all(at, label, given, command, (rows) => rows);
  }

  // What is not there is dropped already, as in the shell.
  function drop(at, { 0: options }) {
    const label = at.method('drop');
    const given = take.options(options, ['writeConcern'], label);
    const command = add({ __proto__: null, drop: at.name }, given, REST);
    return reply(at, label, given, command, () => true, (error) => (
      error.code === NAMESPACE_NOT_FOUND ? false : undefined));
  }

  function scale(value, label) {
    const given = typeof value === 'number' ? take.options({ scale: value }, ['scale'], label) : take.options(value, ['scale'], label);
    if (given.scale !== undefined) take.natural(given.scale, `the option scale of ${label}`);
    return given;
  }

  function stats(at, { 0: options }) {
    const label = at.method('stats');
    const given = scale(options, label);
    const command = add({ __proto__: null, collStats: at.name }, given, ['scale', 'comment', 'maxTimeMS']);
    return reply(at, label, given, command, (answer) => answer);
  }

  Object.assign(world, {
    scaleOf: scale,
    about: {
      __proto__: null, createIndex, createIndexes, dropIndex, dropIndexes, getIndexes, drop, stats,
    },
  });
})
