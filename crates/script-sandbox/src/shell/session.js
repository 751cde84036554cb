// Sessions and their transactions. A script has one session on its server, so one transaction at a time.
(function (world) {
  'use strict';

  const { askNow, failed, freeze, recording, needs, refuse, then, weakGet, weakSet, SafePromise, SafeWeakMap } = world;

  const sessions = new SafeWeakMap();
  let open = null;

  function sessionOf(handle) {
    const session = typeof handle === 'object' && handle !== null ? weakGet(sessions, handle) : undefined;
    if (session === undefined) throw refuse('the option session takes what startSession() gave');
    return session;
  }

  function begin(session) {
    if (session.ended) throw refuse('the session has ended');
    if (open !== null) throw refuse('a transaction is open already; a script has one at a time');
    askNow('begin', '', failed);
    session.open = true;
    open = session;
  }

  function close(session, call) {
    if (!session.open) throw refuse('no transaction is open in this session');
    // A commit that was refused leaves the transaction open.
    try {
      askNow(call, '', failed);
    } catch (error) {
      if (!error.refused) closed(session);
      throw error;
    }
    closed(session);
  }

  function closed(session) {
    session.open = false;
    open = null;
  }

  // What a callback that failed had done is undone; its own error is told, whatever else happens.
  function undo(session) {
    try {
      if (session.open) close(session, 'rollback');
    } catch {
      closed(session);
    }
  }

  function commit(session) {
    try {
      if (session.open) close(session, 'commit');
    } catch (error) {
      undo(session);
      throw error;
    }
  }

  function withTransaction(session, handle, work) {
    if (typeof work !== 'function') throw refuse('withTransaction takes a function');
    begin(session);
    let value;
    try {
      value = work(handle);
    } catch (error) {
      undo(session);
      throw error;
    }
    if (!(value instanceof SafePromise)) {
      commit(session);
      return value;
    }
    return then(
      value,
      (given) => {
        commit(session);
        return given;
      },
      (error) => {
        undo(session);
        throw error;
      },
    );
  }

  function startSession() {
    if (recording()) throw needs('A session');
    const session = { __proto__: null, open: false, ended: false };
    const handle = freeze({
      getDatabase: (name) => world.databaseHandle(world.take.databaseName(name), session),
      startTransaction() { begin(session); },
      commitTransaction() { close(session, 'commit'); },
      abortTransaction() { close(session, 'rollback'); },
      withTransaction: (work) => withTransaction(session, handle, work),
      inTransaction: () => session.open,
      hasEnded: () => session.ended,
      endSession() {
        undo(session);
        session.ended = true;
      },
    });
    weakSet(sessions, handle, session);
    return handle;
  }

  Object.assign(world, { sessionOf, startSession });
})
