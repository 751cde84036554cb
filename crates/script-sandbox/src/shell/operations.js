// An operation is what a method of the shell comes to: commands, and what to make of their answers. While a text is
// evaluated operations are written down; while a script runs they are executed at once.
(function (world) {
  'use strict';

  const {
    askNow, describe, DatabaseError, host, join, kind, list, listed, push, refusal, refuse, revive, weakGet, weakHas, weakSet,
    SafeNumber, SafeProxy, SafeString, SafeWeakMap,
  } = world;

  let recording = false;
  // The database that commands run on unless they say otherwise.
  let home = null;
  // What stands for an answer that is not there yet, and cursors: the operation of each.
  const pending = new SafeWeakMap();
  const recorded = list();

  const NEEDS = 'a query is one command, evaluated before anybody decides on it. Submit the text as a script '
    + '(submissionType "script")';
  const needs = (what) => refuse(`${what} needs an answer from the database; ${NEEDS}.`, 'needs_a_script');

  class MongoServerError extends DatabaseError {
    get name() { return 'MongoServerError'; }
  }

  function failed({ kind: reason, code, number, message, severity, detail, hint }) {
    if (reason === 'refused') {
      const error = new DatabaseError('');
      describe(error, { __proto__: null, message, code, severity, detail, hint, refused: true });
      return error;
    }
    const error = new MongoServerError('');
    describe(error, { __proto__: null, message, code: number ?? code, codeName: code, detail, hint, refused: false });
    return error;
  }

  // ---- While a text is evaluated

  function placeholder(operation) {
    const refused = () => { throw needs(`Reading what ${operation.label} gives`); };
    const stands = new SafeProxy({ __proto__: null }, {
      __proto__: null,
      get: (target, name) => (name === 'then' ? undefined : refused()),
      set: refused, has: refused, deleteProperty: refused, ownKeys: refused, defineProperty: refused,
      getOwnPropertyDescriptor: refused, getPrototypeOf: () => null, setPrototypeOf: refused, preventExtensions: refused,
    });
    weakSet(pending, stands, operation);
    return stands;
  }

  function record(operation) {
    push(recorded, operation);
    return operation;
  }

  const what = (value) => (
    typeof value === 'function' && world.shown(value) === undefined ? 'a function that was not called' : world.take.told(value));

  // What a text came to: its commands, a line each.
  function commands(value) {
    if (recorded.length === 0) {
      throw refuse(
        `The text is no database command: its value is ${what(value)}. A query is one command, such as `
        + "db.users.find({ age: { $gt: 30 } }).",
        'no_command',
      );
    }
    const lines = list();
    for (let i = 0; i < recorded.length; i += 1) {
      const made = recorded[i].commands();
      for (let n = 0; n < made.length; n += 1) push(lines, encode(recorded[i], made[n]));
    }
    if (recorded.length > 1) {
      const labels = list();
      for (let i = 0; i < recorded.length && i < 10; i += 1) push(labels, recorded[i].label);
      throw refuse(
        `The text comes to ${recorded.length} commands (${join(labels, ', ')}); a query is one. Several go into a script `
        + '(submissionType "script") or into an array of commands in Extended JSON.',
        'several_commands',
      );
    }
    const object = (typeof value === 'object' || typeof value === 'function') && value !== null;
    if (!object || weakGet(pending, value) !== recorded[0]) {
      throw refuse(
        `The text asks for ${recorded[0].label}, but that is not its value, which is ${what(value)}; end it with `
        + 'the command itself.',
        'not_the_value',
      );
    }
    if (lines.length > 1000) throw refuse('The text comes to more than 1000 commands; make a script of it.', 'several_commands');
    return join(lines, '\n');
  }

  // A value that is to go into a document, but is not there yet.
  function answered(value) {
    const operation = weakGet(pending, value);
    if (operation === undefined) return;
    if (recording) throw needs(`A command with what ${operation.label} gives`);
    throw refuse(`what ${operation.label} gives is a cursor; take its documents with toArray() or next()`);
  }

  // ---- While a script runs

  function call(operation, what) {
    const parameters = list();
    const { session } = operation;
    const in_transaction = session !== null && session.open;
    return { __proto__: null, [what]: { __proto__: null, parameters, in_transaction } };
  }

  function documents(number) {
    const rows = host.rows(number, true);
    for (let i = 0; i < rows.length; i += 1) rows[i] = revive(rows[i][0]);
    return rows;
  }

  function execute(operation, command) {
    session(operation);
    const answer = askNow(call(operation, 'query'), encode(operation, command), failed);
    return documents(answer.rows);
  }

  function session({ session: own, label }) {
    if (own !== null && own.ended) throw refuse(`${label}: the session has ended`);
  }

  // ---- Both

  // The last field names the database when it is not the script's own.
  function encode({ database }, command) {
    if (database === home) return world.canonical(command);
    return world.canonical({ __proto__: null, ...command, $db: database });
  }

  // A new operation on a database; `place` is what the method was called on.
  const operation = (place, label, commands) => ({
    __proto__: null, database: place.database.name, session: place.database.session, label, commands,
  });

  function withSession(made, given) {
    const handle = given.session;
    delete given.session;
    if (handle !== undefined) made.session = world.sessionOf(handle);
    return made;
  }

  // What answers with one document. `finish` makes of it what the shell gives.
  function reply(place, label, given, command, finish, recover) {
    const made = withSession(operation(place, label, () => one(command)), given);
    if (recording) return placeholder(record(made));
    try {
      return finish(execute(made, command)[0] ?? { __proto__: null });
    } catch (error) {
      return recovered(error, recover);
    }
  }

  // What answers with documents, and is wanted whole.
  function all(place, label, given, command, finish) {
    const made = withSession(operation(place, label, () => one(command)), given);
    return recording ? placeholder(record(made)) : finish(execute(made, command));
  }

  // What takes several commands, one after the other.
  function several(place, label, given, commands, finish) {
    const made = withSession(operation(place, label, () => commands), given);
    if (recording) return placeholder(record(made));
    const replies = list();
    for (let i = 0; i < commands.length; i += 1) push(replies, execute(made, commands[i])[0] ?? { __proto__: null });
    return finish(replies);
  }

  function recovered(error, recover) {
    if (recover !== undefined && error instanceof MongoServerError) {
      const value = recover(error);
      if (value !== undefined) return value;
    }
    throw error;
  }

  function one(command) {
    const only = list();
    push(only, command);
    return only;
  }

  // A reply's number, which may have come as a Long.
  const count = (value) => (kind(value) === undefined ? value ?? 0 : SafeNumber(SafeString(value)));

  Object.assign(world, {
    needs, answered, operation, withSession, placeholder, record, reply, all, several, execute, documents, encode, one, count,
    failed, commands, callOf: call, checkSession: session,
    recording: () => recording,
    home: () => home,
    pending: { __proto__: null, set: (value, made) => weakSet(pending, value, made), has: (value) => weakHas(pending, value) },
    startOperations(database, record) {
      home = database;
      recording = record;
    },
    refusalOf: (error) => (recording ? refusal(error) : undefined),
    MongoServerError,
    unknown: (label, what, name, known) => refuse(
      `${label}.${SafeString(name)} is not a function of ${what}; there are: ${listed(known)}`, 'unknown_method'),
  });
})
