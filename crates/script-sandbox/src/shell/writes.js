// The methods of a collection that change documents.
(function (world) {
  'use strict';

  const {
    add, count, list, listed, mapForEach, one, ownKeys, push, refuse, reply, several, take, getOwnPropertyDescriptor,
    SafeMap, SafeString,
  } = world;

  const INSERT = ['ordered', 'bypassDocumentValidation', 'writeConcern'];
  const UPDATE = ['upsert', 'arrayFilters', 'collation', 'hint', 'let', 'writeConcern', 'bypassDocumentValidation'];
  const REPLACE = ['upsert', 'collation', 'hint', 'let', 'writeConcern', 'bypassDocumentValidation'];
  const DELETE = ['collation', 'hint', 'let', 'writeConcern'];
  const FIND_AND = ['sort', 'projection', 'collation', 'hint', 'let', 'writeConcern'];
  const FIND_AND_UPDATE = [
    ...FIND_AND, 'upsert', 'arrayFilters', 'returnDocument', 'returnNewDocument', 'bypassDocumentValidation',
  ];
  const FIND_AND_REPLACE = [
    ...FIND_AND, 'upsert', 'returnDocument', 'returnNewDocument', 'bypassDocumentValidation',
  ];
  const BULK = ['ordered', 'bypassDocumentValidation', 'let', 'writeConcern'];
  const REST = ['ordered', 'bypassDocumentValidation', 'let', 'comment', 'maxTimeMS', 'writeConcern'];

  // A document with its `_id`, which the shell adds in front. Each field is read once.
  function identified(value, what) {
    take.document(value, what);
    if (value instanceof SafeMap) {
      const copy = new SafeMap();
      let id;
      mapForEach(value, (field, name) => { if (name === '_id') id = field; });
      if (id === undefined) {
        id = new (world.bson().ObjectId)();
        world.mapSet(copy, '_id', id);
      }
      mapForEach(value, (field, name) => world.mapSet(copy, name, field));
      return { document: copy, id };
    }
    const copy = { __proto__: null };
    const names = ownKeys(value);
    let found = false;
    for (let i = 0; i < names.length; i += 1) if (names[i] === '_id') found = true;
    if (!found) copy._id = new (world.bson().ObjectId)();
    for (let i = 0; i < names.length; i += 1) {
      if (typeof names[i] !== 'string' || !getOwnPropertyDescriptor(value, names[i])?.enumerable) continue;
      world.defineProperty(copy, names[i], {
        __proto__: null, value: value[names[i]], writable: true, enumerable: true, configurable: true,
      });
    }
    return { document: copy, id: copy._id };
  }

  // What an update does: operators, or a pipeline of stages.
  function update(value, what) {
    if (world.isArray(value)) {
      if (value.length === 0) throw refuse(`${what} is an empty pipeline`);
      for (let i = 0; i < value.length; i += 1) take.document(value[i], `stage ${i + 1} of ${what}`);
      return value;
    }
    const names = take.names(take.document(value, what));
    const wrong = () => refuse(
      `${what} takes operators such as { $set: { name: 'value' } }; replaceOne puts a whole document in the place of another`);
    if (names.length === 0) throw wrong();
    for (let i = 0; i < names.length; i += 1) if (SafeString(names[i])[0] !== '$') throw wrong();
    return value;
  }

  function replacement(value, what) {
    if (world.isArray(value)) throw refuse(`${what} is a document, and no pipeline`);
    const names = take.names(take.document(value, what));
    if (names.length > 0 && SafeString(names[0])[0] === '$') {
      throw refuse(`${what} is a whole document, without operators such as ${SafeString(names[0])}; updateOne takes those`);
    }
    return value;
  }

  function insertOne(at, { 0: document, 1: options }) {
    const label = at.method('insertOne');
    const given = take.options(options, ['bypassDocumentValidation', 'writeConcern'], label);
    const made = identified(document, `the document of ${label}`);
    const command = add({ __proto__: null, insert: at.name, documents: one(made.document) }, given, REST);
    return reply(at, label, given, command, () => ({ acknowledged: true, insertedId: made.id }));
  }

  function insertMany(at, { 0: documents, 1: options }) {
    const label = at.method('insertMany');
    const given = take.options(options, INSERT, label);
    take.array(documents, `what ${label} inserts`);
    if (documents.length === 0) throw refuse(`${label} takes at least one document`);
    const all = list();
    const insertedIds = {};
    for (let i = 0; i < documents.length; i += 1) {
      const made = identified(documents[i], `document ${i} of ${label}`);
      push(all, made.document);
      insertedIds[i] = made.id;
    }
    const command = add({ __proto__: null, insert: at.name, documents: all }, given, REST);
    return reply(at, label, given, command, () => ({ acknowledged: true, insertedIds }));
  }

  // One entry of an update command.
  function change(filter, u, multi, given) {
    const entry = { __proto__: null, q: filter, u };
    if (multi) entry.multi = true;
    return add(entry, given, ['upsert', 'collation', 'arrayFilters', 'hint']);
  }

  function removal(filter, limit, given) {
    return add({ __proto__: null, q: filter, limit }, given, ['collation', 'hint']);
  }

  // An update's count of matches includes what was inserted instead.
  function updated(answer) {
    const upserted = answer.upserted ?? [];
    return {
      acknowledged: true,
      insertedId: upserted.length > 0 ? upserted[0]._id : null,
      matchedCount: count(answer.n) - upserted.length,
      modifiedCount: count(answer.nModified),
      upsertedCount: upserted.length,
      upsertedId: upserted.length > 0 ? upserted[0]._id : null,
    };
  }

  const UPDATES = {
    __proto__: null,
    updateOne: { __proto__: null, known: UPDATE, check: update, multi: false, what: 'update' },
    updateMany: { __proto__: null, known: UPDATE, check: update, multi: true, what: 'update' },
    replaceOne: { __proto__: null, known: REPLACE, check: replacement, multi: false, what: 'replacement' },
  };

  const updateCommand = (name) => (at, { 0: filter, 1: value, 2: options }, label) => {
    const { known, check, multi, what } = UPDATES[name];
    const given = take.options(options, known, label);
    const q = take.filter(filter, `the filter of ${label}`);
    const entry = change(q, check(value, `the ${what} of ${label}`), multi, given);
    return { given, command: add({ __proto__: null, update: at.name, updates: one(entry) }, given, REST) };
  };

  const deleteCommand = (name) => (at, { 0: filter, 1: options }, label) => {
    const given = take.options(options, DELETE, label);
    const entry = removal(take.filter(filter, `the filter of ${label}`), name === 'deleteOne' ? 1 : 0, given);
    return { given, command: add({ __proto__: null, delete: at.name, deletes: one(entry) }, given, REST) };
  };

  function returned(command, given, label) {
    const { returnDocument, returnNewDocument } = given;
    if (returnDocument !== undefined && returnDocument !== 'before' && returnDocument !== 'after') {
      throw refuse(`the option returnDocument of ${label} is 'before' or 'after'`);
    }
    if (returnDocument === 'after' || (returnDocument === undefined && returnNewDocument)) command.new = true;
    return command;
  }

  const FIND_ANDS = {
    __proto__: null,
    findOneAndUpdate: { __proto__: null, known: FIND_AND_UPDATE, check: update, what: 'update' },
    findOneAndReplace: { __proto__: null, known: FIND_AND_REPLACE, check: replacement, what: 'replacement' },
    findOneAndDelete: { __proto__: null, known: FIND_AND, check: null, what: '' },
  };

  const findAndCommand = (name) => (at, args, label) => {
    const { known, check, what } = FIND_ANDS[name];
    const given = take.options(check === null ? args[1] : args[2], known, label);
    const query = take.filter(args[0], `the filter of ${label}`);
    const command = { __proto__: null, findAndModify: at.name, query };
    if (given.sort !== undefined) command.sort = given.sort;
    if (check === null) command.remove = true;
    else command.update = check(args[1], `the ${what} of ${label}`);
    returned(command, given, label);
    if (given.projection !== undefined) command.fields = given.projection;
    add(command, given, ['upsert', 'arrayFilters', 'collation', 'hint', 'let', 'comment', 'maxTimeMS', 'writeConcern', 'bypassDocumentValidation']);
    return { given, command };
  };

  // ---- Several at once

  const BULK_KINDS = {
    __proto__: null,
    insertOne: 'insert', updateOne: 'update', updateMany: 'update', replaceOne: 'update', deleteOne: 'delete', deleteMany: 'delete',
  };
  const ENTRIES = { __proto__: null, insert: 'documents', update: 'updates', delete: 'deletes' };

  function bulkEntry(model, name, what, ids, index) {
    const given = take.document(model, what);
    if (name === 'insertOne') {
      const made = identified(given.document, `the document of ${what}`);
      ids[index] = made.id;
      return made.document;
    }
    const { filter, update: ofUpdate, replacement: ofReplacement, ...rest } = given;
    const q = take.filter(filter, `the filter of ${what}`);
    if (BULK_KINDS[name] === 'delete') {
      return removal(q, name === 'deleteOne' ? 1 : 0, take.options(rest, ['collation', 'hint'], what));
    }
    const { known, check, multi } = UPDATES[name];
    const own = take.options(rest, name === 'replaceOne' ? ['upsert', 'collation', 'hint'] : known, what);
    return change(q, check(name === 'replaceOne' ? ofReplacement : ofUpdate, what), multi, own);
  }

  // One command for each run of one kind; unordered, one for each kind.
  function grouped(models, label, ordered) {
    const groups = list();
    const insertedIds = {};
    for (let i = 0; i < models.length; i += 1) {
      const names = take.names(take.document(models[i], `operation ${i} of ${label}`));
      const name = names[0];
      const group = typeof name === 'string' ? BULK_KINDS[name] : undefined;
      if (names.length !== 1 || group === undefined) {
        throw refuse(`operation ${i} of ${label} is one of ${listed(ownKeys(BULK_KINDS))}, as in { insertOne: { document: {…} } }`);
      }
      let into = groups.length > 0 && groups[groups.length - 1].kind === group ? groups[groups.length - 1] : undefined;
      for (let n = 0; !ordered && n < groups.length; n += 1) if (groups[n].kind === group) into = groups[n];
      if (into === undefined) {
        into = { __proto__: null, kind: group, entries: list(), places: list() };
        push(groups, into);
      }
      push(into.entries, bulkEntry(models[i][name], name, `operation ${i} of ${label} (${name})`, insertedIds, i));
      push(into.places, i);
    }
    return { groups, insertedIds };
  }

  function bulkResult(groups, replies, insertedIds) {
    const result = {
      acknowledged: true, insertedCount: 0, insertedIds, matchedCount: 0, modifiedCount: 0, deletedCount: 0,
      upsertedCount: 0, upsertedIds: {},
    };
    for (let i = 0; i < replies.length; i += 1) {
      const n = count(replies[i].n);
      const { kind: group, places } = groups[i];
      if (group === 'insert') result.insertedCount += n;
      if (group === 'delete') result.deletedCount += n;
      if (group !== 'update') continue;
      const upserted = replies[i].upserted ?? [];
      result.matchedCount += n - upserted.length;
      result.modifiedCount += count(replies[i].nModified);
      result.upsertedCount += upserted.length;
      for (let k = 0; k < upserted.length; k += 1) result.upsertedIds[places[upserted[k].index]] = upserted[k]._id;
    }
    return result;
  }

  function bulkWrite(at, { 0: models, 1: options }) {
    const label = at.method('bulkWrite');
    const given = take.options(options, BULK, label);
    take.array(models, `what ${label} does`);
    if (models.length === 0) throw refuse(`${label} takes at least one operation`);
    const { groups, insertedIds } = grouped(models, label, given.ordered !== false);
    const commands = list();
    for (let i = 0; i < groups.length; i += 1) {
      const { kind: group, entries } = groups[i];
      const command = { __proto__: null, [group]: at.name, [ENTRIES[group]]: entries };
      const { let: variables, bypassDocumentValidation, ...rest } = given;
      const fitting = { __proto__: null, ...rest };
      if (group !== 'insert') fitting.let = variables;
      if (group !== 'delete') fitting.bypassDocumentValidation = bypassDocumentValidation;
      push(commands, add(command, fitting, REST));
    }
    return several(at, label, given, commands, (replies) => bulkResult(groups, replies, insertedIds));
  }

  const made = (name, command, finish) => (at, args) => {
    const label = at.method(name);
    const { given, command: ready } = command(at, args, label);
    return reply(at, label, given, ready, finish);
  };
  const deleted = (answer) => ({ acknowledged: true, deletedCount: count(answer.n) });
  const found = (answer) => answer.value ?? null;
  const commands = {
    __proto__: null,
    updateOne: updateCommand('updateOne'), updateMany: updateCommand('updateMany'), replaceOne: updateCommand('replaceOne'),
    deleteOne: deleteCommand('deleteOne'), deleteMany: deleteCommand('deleteMany'),
    findOneAndUpdate: findAndCommand('findOneAndUpdate'), findOneAndReplace: findAndCommand('findOneAndReplace'),
    findOneAndDelete: findAndCommand('findOneAndDelete'),
  };

  Object.assign(world, {
    writes: {
      __proto__: null,
      insertOne, insertMany,
      updateOne: made('updateOne', commands.updateOne, updated),
      updateMany: made('updateMany', commands.updateMany, updated),
      replaceOne: made('replaceOne', commands.replaceOne, updated),
      deleteOne: made('deleteOne', commands.deleteOne, deleted),
      deleteMany: made('deleteMany', commands.deleteMany, deleted),
      findOneAndUpdate: made('findOneAndUpdate', commands.findOneAndUpdate, found),
      findOneAndReplace: made('findOneAndReplace', commands.findOneAndReplace, found),
      findOneAndDelete: made('findOneAndDelete', commands.findOneAndDelete, found),
      bulkWrite,
    },
    explainedWrites: commands,
    // What older shells had, and what there is instead. They are collections' names otherwise, so they are no methods.
    gone: {
      __proto__: null,
      insert: 'is not there any more; use insertOne or insertMany',
      update: 'is not there any more; use updateOne, updateMany or replaceOne',
      remove: 'is not there any more; use deleteOne or deleteMany',
      save: 'is not there any more; use insertOne, or replaceOne with upsert',
      findAndModify: 'is not there; use findOneAndUpdate, findOneAndReplace or findOneAndDelete',
      ensureIndex: 'is not there any more; use createIndex',
      mapReduce: 'is not there; use aggregate',
    },
  });
})
