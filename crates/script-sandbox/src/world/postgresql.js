// The `db` of scripts for PostgreSQL: calls are promises.
(function (world) {
  'use strict';

  const {
    host, ask, list, push, join, isArray, isView, freeze, stringify, trunc, isWellFormed, replaceAll, padStart, toHex,
    getTime, toISOString, caught, exact,
    SafeString, SafeDate, SafeError, SafeTypeError, SafeRangeError, SafeUint8Array, SafeArrayBuffer,
  } = world;

  // Parameters, as node-postgres writes them.
  const LONGEST_ARRAY = 1_000_000;

  function text(value, what) {
    if (!isWellFormed(value)) throw new SafeTypeError(`${what} holds half of a surrogate pair`);
    return value;
  }

  function bytes(value) {
    const view = isView(value)
      ? new SafeUint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new SafeUint8Array(value);
    const digits = list();
    for (let i = 0; i < view.length; i += 1) push(digits, padStart(toHex(view[i], 16), 2, '0'));
    return `\\x${join(digits, '')}`;
  }

  function array(value, what, depth) {
    if (depth > 16) throw new SafeTypeError(`${what} is an array nested too deeply`);
    const { length } = value;
    if (length > LONGEST_ARRAY) throw new SafeTypeError(`${what} is an array of more than ${LONGEST_ARRAY} elements`);
    const parts = list();
    for (let i = 0; i < length; i += 1) {
      const element = value[i];
      if (element === null || element === undefined) push(parts, 'NULL');
      else if (isArray(element)) push(parts, array(element, what, depth + 1));
      else push(parts, `"${replaceAll(replaceAll(scalar(element, what), '\\', '\\\\'), '"', '\\"')}"`);
    }
    return `{${join(parts, ',')}}`;
  }

  function scalar(value, what) {
    switch (typeof value) {
      case 'string': return text(value, what);
      case 'number': case 'boolean': case 'bigint': return SafeString(value);
      case 'object':
        if (value instanceof SafeDate) {
          if (getTime(value) !== getTime(value)) throw new SafeTypeError(`${what} is an invalid Date`);
          return toISOString(value);
        }
        if (isView(value) || value instanceof SafeArrayBuffer) return bytes(value);
        return text(stringify(value, exact) ?? 'null', what);
      default: throw new SafeTypeError(`${what} is a ${typeof value}, which no database type can hold`);
    }
  }

  function parameters(values) {
    if (values === undefined || values === null) return [];
    if (!isArray(values)) throw new SafeTypeError('parameters are given as an array');
    const { length } = values;
    if (length > 65_535) throw new SafeRangeError('a statement takes no more than 65535 parameters');
    const texts = list();
    for (let i = 0; i < length; i += 1) {
      const value = values[i];
      const what = `parameter $${i + 1}`;
      if (value === null || value === undefined) push(texts, null);
      else push(texts, isArray(value) ? array(value, what, 0) : scalar(value, what));
    }
    return texts;
  }

  function statement(first, values) {
    const given = typeof first === 'object' && first !== null ? first : { text: first, values };
    const { text: sql, values: own, rowMode } = given;
    if (typeof sql !== 'string') throw new SafeTypeError('the statement is given as a string');
    if (rowMode !== undefined && rowMode !== 'array') throw new SafeTypeError("rowMode is 'array' or left out");
    return { sql: text(sql, 'the statement'), values: parameters(own ?? values), arrays: rowMode === 'array' };
  }

  function result(answer, arrays) {
    const { command, fields, affected, rows } = answer;
    const taken = host.rows(rows, arrays);
    return { command, rowCount: affected ?? (fields.length > 0 ? taken.length : null), fields, rows: taken };
  }

  const execution = (parameters, inTransaction) => ({ __proto__: null, parameters, in_transaction: inTransaction });

  async function query(first, values, inTransaction) {
    const { sql, values: texts, arrays } = statement(first, values);
    const answer = await ask({ __proto__: null, query: execution(texts, inTransaction) }, sql);
    return result(answer, arrays);
  }

  // `check` throws once the transaction that the stream belongs to is over.
  async function* stream(first, values, options, check) {
    const { sql, values: texts, arrays } = statement(first, values);
    const batch = options?.batchSize ?? 500;
    if (!(batch >= 1 && batch <= 10_000)) throw new SafeRangeError('batchSize is between 1 and 10000');
    check?.();
    const opened = await ask({ __proto__: null, open: execution(texts, check !== undefined) }, sql);
    const number = opened.stream;
    const close = { __proto__: null, close: { __proto__: null, stream: number } };
    let closed = false;
    try {
      while (!closed) {
        closed = true;
        check?.();
        closed = false;
        const fetch = { __proto__: null, stream: number, rows: trunc(batch) };
        const answer = await ask({ __proto__: null, fetch }, '');
        closed = answer.done;
        const rows = host.rows(answer.rows, arrays);
        for (let i = 0; i < rows.length; i += 1) yield rows[i];
      }
    } catch (error) {
      // What went wrong first is told, whether the stream can still be closed or not.
      if (!closed) await caught(ask(close, ''), () => {});
      closed = true;
      throw error;
    } finally {
      if (!closed) await ask(close, '');
    }
  }

  async function transaction(work) {
    if (typeof work !== 'function') throw new SafeTypeError('db.transaction takes a function');
    await ask('begin', '');
    let open = true;
    const check = () => {
      if (!open) throw new SafeError('this transaction is over; its handle cannot be used any more');
    };
    const tx = freeze({
      query(first, values) { check(); return query(first, values, true); },
      stream(first, values, options) { check(); return stream(first, values, options, check); },
    });
    let value;
    try {
      value = await work(tx);
    } catch (error) {
      open = false;
      await ask('rollback', '');
      throw error;
    }
    open = false;
    try {
      await ask('commit', '');
    } catch (error) {
      // A commit that was refused leaves the transaction open.
      if (error.refused) await ask('rollback', '');
      throw error;
    }
    return value;
  }

  const db = freeze({
    query(first, values) { return query(first, values, false); },
    stream(first, values, options) { return stream(first, values, options); },
    transaction,
  });

  world.postgresql = db;
})
