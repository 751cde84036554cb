// The methods of a collection that read.
(function (world) {
  'use strict';

  const {
    add, all, count, cursor, getOwnPropertyDescriptor, list, ownKeys, push, refuse, reply, runCursor, take,
  } = world;

  const FIND = [
    'sort', 'projection', 'hint', 'skip', 'limit', 'batchSize', 'readConcern', 'collation', 'min', 'max', 'returnKey',
    'showRecordId', 'allowDiskUse', 'let', 'singleBatch',
  ];
  const AGGREGATE = [
    'allowDiskUse', 'batchSize', 'bypassDocumentValidation', 'collation', 'cursor', 'explain', 'hint', 'let',
    'readConcern', 'writeConcern',
  ];
  const COUNT = ['skip', 'limit', 'hint', 'collation', 'readConcern'];
  const REST = ['collation', 'hint', 'comment', 'maxTimeMS', 'readConcern'];

  // Drivers take options second. A projection that is one of their options would be lost in silence.
  const SECOND = ['sort', 'projection', 'session', 'hint', 'collation', 'limit', 'skip', 'batchSize', 'maxTimeMS'];

  function isShown(value) {
    if (typeof value === 'boolean' || value === 0 || value === 1) return true;
    if (typeof value === 'string') return value[0] === '$';
    return take.isDocument(value) && `${ownKeys(value)[0]}`[0] === '$';
  }

  function shown(given, projection, label) {
    if (projection === undefined || projection === null) return;
    given.projection = take.document(projection, `the projection of ${label}`);
    for (let i = 0; i < SECOND.length; i += 1) {
      const name = SECOND[i];
      const { value } = getOwnPropertyDescriptor(projection, name) ?? { value: true };
      if (!isShown(value)) {
        throw refuse(`the second argument of ${label} is the projection, where ${name} cannot be this; options come third: ${label}(filter, projection, options)`);
      }
    }
  }

  function find(at, { 0: filter, 1: projection, 2: options }, explanation) {
    const label = at.method('find');
    const given = take.options(options, FIND, label);
    shown(given, projection, label);
    given.filter = take.anyFilter(filter, `the filter of ${label}`);
    return cursor(at, 'find', at.name, `${label}()`, given, explanation);
  }

  function findOne(at, { 0: filter, 1: projection, 2: options }) {
    const label = at.method('findOne');
    const given = take.options(options, FIND, label);
    shown(given, projection, label);
    const command = { __proto__: null, find: at.name, filter: take.anyFilter(filter, `the filter of ${label}`) };
    given.limit = 1;
    given.singleBatch = true;
    return all(at, label, given, add(command, given, [
      'sort', 'projection', 'hint', 'skip', 'limit', 'singleBatch', ...REST, 'min', 'max', 'returnKey', 'showRecordId',
      'allowDiskUse', 'let',
    ]), (rows) => rows[0] ?? null);
  }

  function writesElsewhere(pipeline) {
    const last = pipeline.length > 0 ? pipeline[pipeline.length - 1] : undefined;
    if (!take.isDocument(last)) return false;
    const names = ownKeys(last);
    return names[0] === '$out' || names[0] === '$merge';
  }

  // A pipeline and options, or stages one after the other.
  function pipelineOf(args, label) {
    if (args.length > 0 && !world.isArray(args[0])) {
      for (let i = 0; i < args.length; i += 1) take.document(args[i], `stage ${i + 1} of ${label}`);
      return { pipeline: args, options: undefined };
    }
    const pipeline = args.length === 0 ? [] : args[0];
    for (let i = 0; i < pipeline.length; i += 1) take.document(pipeline[i], `stage ${i + 1} of ${label}`);
    return { pipeline, options: args[1] };
  }

  // `name` is a collection's, or 1 for pipelines of a whole database.
  function aggregateOf(at, name, args, explanation) {
    const label = at.method('aggregate');
    const { pipeline, options } = pipelineOf(args, label);
    const given = take.options(options, AGGREGATE, label);
    given.pipeline = pipeline;
    if (given.cursor !== undefined) {
      given.batchSize ??= take.options(given.cursor, ['batchSize'], `the option cursor of ${label}`).batchSize;
      delete given.cursor;
    }
    const verbosity = given.explain === undefined ? explanation : take.verbosity(given.explain, label);
    delete given.explain;
    const made = cursor(at, 'aggregate', name, `${label}()`, given, verbosity);
    return verbosity === undefined && writesElsewhere(pipeline) ? runCursor(made) : made;
  }

  const aggregate = (at, args, explanation) => aggregateOf(at, at.name, args, explanation);

  // As the drivers count (CRUD specification, "Count API Details").
  function countDocuments(at, { 0: filter, 1: options }) {
    const label = at.method('countDocuments');
    const given = take.options(options, COUNT, label);
    const pipeline = list();
    push(pipeline, { __proto__: null, $match: take.anyFilter(filter, `the filter of ${label}`) });
    if (given.skip !== undefined) push(pipeline, { __proto__: null, $skip: given.skip });
    if (given.limit !== undefined) push(pipeline, { __proto__: null, $limit: given.limit });
    push(pipeline, { __proto__: null, $group: { __proto__: null, _id: 1, n: { __proto__: null, $sum: 1 } } });
    const command = { __proto__: null, aggregate: at.name, pipeline, cursor: { __proto__: null } };
    return all(at, label, given, add(command, given, REST), (rows) => count(rows[0]?.n));
  }

  function estimatedDocumentCount(at, { 0: options }) {
    const label = at.method('estimatedDocumentCount');
    const given = take.options(options, ['readConcern'], label);
    const command = add({ __proto__: null, count: at.name }, given, REST);
    return reply(at, label, given, command, (answer) => count(answer.n));
  }

  function countCommand(at, { 0: filter, 1: options }, label) {
    const given = take.options(options, COUNT, label);
    const command = { __proto__: null, count: at.name, query: take.anyFilter(filter, `the filter of ${label}`) };
    return { given, command: add(command, given, ['limit', 'skip', ...REST]) };
  }

  function plainCount(at, args) {
    const label = at.method('count');
    const { given, command } = countCommand(at, args, label);
    return reply(at, label, given, command, (answer) => count(answer.n));
  }

  function distinctCommand(at, { 0: field, 1: filter, 2: options }, label) {
    const given = take.options(options, ['collation', 'hint', 'readConcern'], label);
    const command = { __proto__: null, distinct: at.name, key: take.string(field, `the field of ${label}`) };
    command.query = take.anyFilter(filter, `the filter of ${label}`);
    return { given, command: add(command, given, REST) };
  }

  function distinct(at, args) {
    const label = at.method('distinct');
    const { given, command } = distinctCommand(at, args, label);
    return reply(at, label, given, command, (answer) => answer.values ?? []);
  }

  Object.assign(world, {
    aggregateOf,
    reads: { __proto__: null, find, findOne, aggregate, countDocuments, estimatedDocumentCount, count: plainCount, distinct },
    // What can be explained, as commands.
    explainedReads: { __proto__: null, count: countCommand, distinct: distinctCommand },
  });
})
