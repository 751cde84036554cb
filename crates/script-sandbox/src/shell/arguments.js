// What the methods of the shell take, checked as the drivers check it, so that a mistake is told before anybody decides on
// a command that cannot run.
(function (world) {
  'use strict';

  const {
    bareKey, exec, getOwnPropertyDescriptor, isArray, isDate, isInteger, isRegExp, isView, join, kind, list,
    mapForEach, ownKeys, push, refuse, SafeMap, SafeNumber, SafeString,
  } = world;

  const has = (names, name) => {
    for (let i = 0; i < names.length; i += 1) if (names[i] === name) return true;
    return false;
  };
  const listed = (names) => {
    const all = list();
    for (let i = 0; i < names.length; i += 1) push(all, names[i]);
    return join(all, ', ');
  };

  function isDocument(value) {
    return typeof value === 'object' && value !== null && !isArray(value) && !isDate(value) && !isRegExp(value)
      && !isView(value) && kind(value) === undefined;
  }

  function document(value, what) {
    if (typeof value === 'object' && value !== null) world.answered(value);
    if (!isDocument(value)) throw refuse(`${what} is a document, such as { name: 'value' }; this is ${told(value)}`);
    return value;
  }

  function told(value) {
    if (value === undefined) return 'undefined';
    return bareKey(value) ?? world.inspect(value, 1, null);
  }

  // The names of a document's fields.
  function names(value) {
    if (!(value instanceof SafeMap)) return ownKeys(value);
    const all = list();
    mapForEach(value, (field, name) => push(all, name));
    return all;
  }

  // A filter that may be left out.
  const anyFilter = (value, what) => (value === undefined || value === null ? { __proto__: null } : document(value, what));

  // A filter that has to be there: without one every document would be meant.
  function filter(value, what) {
    if (value === undefined || value === null) {
      throw refuse(`${what} is ${value}; write {} if every document is meant`);
    }
    return document(value, what);
  }

  function string(value, what) {
    if (typeof value !== 'string' || value === '') throw refuse(`${what} is a string; this is ${told(value)}`);
    return value;
  }

  function array(value, what) {
    if (typeof value === 'object' && value !== null) world.answered(value);
    if (!isArray(value)) throw refuse(`${what} is an array; this is ${told(value)}`);
    return value;
  }

  function natural(value, what) {
    const number = kind(value) === undefined ? value : SafeNumber(SafeString(value));
    if (!isInteger(number) || number < 0) throw refuse(`${what} is an integer, 0 or more; this is ${told(value)}`);
    return number;
  }

  function flag(value, what) {
    if (typeof value !== 'boolean') throw refuse(`${what} is true or false; this is ${told(value)}`);
    return value;
  }

  const CHECKS = {
    __proto__: null,
    upsert: flag, ordered: flag, multi: flag, bypassDocumentValidation: flag, allowDiskUse: flag, returnKey: flag,
    showRecordId: flag, singleBatch: flag, returnNewDocument: flag, nameOnly: flag, authorizedCollections: flag,
    limit: natural, skip: natural, batchSize: natural, maxTimeMS: natural,
    arrayFilters: array, collation: document, sort: document, projection: document, let: document,
  };

  // What every method takes beside its own options.
  const GENERAL = ['comment', 'maxTimeMS', 'session'];

  // The options that were given. One that is not known is an error: nothing is left out in silence.
  function options(given, known, label) {
    const taken = { __proto__: null };
    if (given === undefined || given === null) return taken;
    document(given, `the options of ${label}`);
    const all = ownKeys(given);
    for (let i = 0; i < all.length; i += 1) {
      const name = all[i];
      if (typeof name !== 'string' || !getOwnPropertyDescriptor(given, name).enumerable) continue;
      if (!has(known, name) && !has(GENERAL, name)) {
        throw refuse(`${label} has no option ${name}; there are: ${listed(known)}, ${listed(GENERAL)}`);
      }
      const value = given[name];
      if (value === undefined) continue;
      CHECKS[name]?.(value, `the option ${name} of ${label}`);
      taken[name] = value;
    }
    return taken;
  }

  // Takes fields over in this order.
  function add(command, given, fields) {
    for (let i = 0; i < fields.length; i += 1) {
      if (given[fields[i]] !== undefined) command[fields[i]] = given[fields[i]];
    }
    return command;
  }

  const NO_DATABASE = /[/\\. "$\0]/;
  const NO_COLLECTION = /^\.|\.$|\.\.|[$\0]/;

  function databaseName(value) {
    string(value, "a database's name");
    if (exec(NO_DATABASE, value) !== null) throw refuse(`${told(value)} is no name of a database`);
    return value;
  }

  function collectionName(value) {
    string(value, "a collection's name");
    if (exec(NO_COLLECTION, value) !== null) throw refuse(`${told(value)} is no name of a collection`);
    return value;
  }

  // Explanations have these, and two values from older shells.
  function verbosity(value, label) {
    if (value === undefined || value === false) return 'queryPlanner';
    if (value === true) return 'allPlansExecution';
    const known = ['queryPlanner', 'executionStats', 'allPlansExecution'];
    if (!has(known, value)) throw refuse(`${label} takes one of: ${listed(known)}`);
    return value;
  }

  Object.assign(world, {
    add, has, listed,
    take: {
      __proto__: null,
      isDocument, document, names, anyFilter, filter, string, array, natural, flag, options, databaseName, collectionName,
      verbosity, told,
    },
  });
})
