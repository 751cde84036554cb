// The constructors of MongoDB's shell, and what kind of value something is. The `bson` package takes 17 MiB as soon as it
// runs, so nothing of it is touched before a text or a script for MongoDB comes.
(function (world) {
  'use strict';

  const {
    define, exec, getTime, isArray, isInteger, isSafeInteger, isView, slice, weakGet, weakSet, functionToString,
    SafeDate, SafeNumber, SafeProxy, SafeRegExp, SafeString, SafeTypeError, SafeUint8Array, SafeWeakMap,
  } = world;

  // Errors of the shell's own, with their codes.
  const refusals = new SafeWeakMap();
  function refuse(message, code = 'invalid_command') {
    const error = new SafeTypeError(message);
    weakSet(refusals, error, { __proto__: null, code, message });
    return error;
  }

  let bson = null;
  let minKey = null;
  let maxKey = null;

  // What a value is to BSON, where it is more than JavaScript knows.
  function kind(value) {
    if (bson === null || !(value instanceof bson.BSONValue)) return undefined;
    // Some are others, too: a Timestamp is a Long, and a UUID is a Binary.
    if (value instanceof bson.ObjectId) return 'ObjectId';
    if (value instanceof bson.Timestamp) return 'Timestamp';
    if (value instanceof bson.Long) return 'Long';
    if (value instanceof bson.Decimal128) return 'Decimal128';
    if (value instanceof bson.Double) return 'Double';
    if (value instanceof bson.Int32) return 'Int32';
    if (value instanceof bson.Binary) return 'Binary';
    if (value instanceof bson.Code) return 'Code';
    if (value instanceof bson.DBRef) return 'DBRef';
    if (value instanceof bson.BSONRegExp) return 'BSONRegExp';
    if (value instanceof bson.BSONSymbol) return 'BSONSymbol';
    if (value instanceof bson.MinKey) return 'MinKey';
    return value instanceof bson.MaxKey ? 'MaxKey' : undefined;
  }

  // `MinKey` by itself stands for `MinKey()`.
  function bareKey(value) {
    if (value === minKey) return 'MinKey';
    return value === maxKey ? 'MaxKey' : undefined;
  }

  const INTEGER = /^[-+]?\d+$/;
  const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
  const HEX = /^(?:[0-9a-fA-F]{2})*$/;
  const quoted = (value) => world.inspect(value, 1, null);

  function int32(name, value) {
    if (value === undefined) return new bson.Int32(0);
    if (kind(value) !== undefined) value = SafeNumber(SafeString(value));
    if (typeof value === 'string' && exec(INTEGER, value) !== null) value = SafeNumber(value);
    if (!isInteger(value) || value < -2147483648 || value > 2147483647) {
      throw refuse(`${name} takes an integer from -2147483648 to 2147483647, and not ${quoted(value)}`);
    }
    return new bson.Int32(value);
  }

  function int64(name, value) {
    if (value === undefined) return bson.Long.fromInt(0);
    if (kind(value) !== undefined) value = SafeString(value);
    if (typeof value === 'number') {
      if (!isInteger(value)) throw refuse(`${name} takes an integer, and not ${quoted(value)}`);
      if (!isSafeInteger(value)) {
        throw refuse(
          `${name}(${value}): a number of JavaScript is not exact beyond 9007199254740991; write it as a string, as in ` +
          `${name}("9007199254740993")`,
        );
      }
      return bson.Long.fromBigInt(world.SafeBigInt(value));
    }
    if (typeof value === 'string' && exec(INTEGER, value) !== null) {
      value = world.SafeBigInt(value[0] === '+' ? slice(value, 1) : value);
    }
    if (typeof value !== 'bigint' || value < -9223372036854775808n || value > 9223372036854775807n) {
      throw refuse(`${name} takes an integer of 64 bits, and not ${quoted(value)}`);
    }
    return bson.Long.fromBigInt(value);
  }

  function double(name, value) {
    if (value === undefined) return new bson.Double(0);
    if (kind(value) !== undefined || (typeof value === 'string' && value !== '')) value = SafeNumber(SafeString(value));
    if (typeof value !== 'number') throw refuse(`${name} takes a number, and not ${quoted(value)}`);
    return new bson.Double(value);
  }

  function decimal(name, value) {
    if (value === undefined) return bson.Decimal128.fromString('0');
    if (isInteger(value) && !isSafeInteger(value)) {
      throw refuse(`${name}(${value}): a number of JavaScript is not exact beyond 9007199254740991; write it as a string`);
    }
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint' && kind(value) === undefined) {
      throw refuse(`${name} takes a number as a string, as in ${name}("1.10")`);
    }
    try {
      return bson.Decimal128.fromString(SafeString(value));
    } catch (error) {
      throw refuse(`${name}(${quoted(value)}): ${error.message}`);
    }
  }

  // What the package says of an argument, as an error of the shell.
  function made(name, make) {
    try {
      return make();
    } catch (error) {
      throw refuse(`${name}: ${error.message}`);
    }
  }

  function objectId(name, value) {
    return made(name, () => (value === undefined ? new bson.ObjectId() : new bson.ObjectId(value)));
  }

  function binary(name, subtype, text) {
    if (!isInteger(subtype) || subtype < 0 || subtype > 255) throw refuse(`${name} takes a subtype from 0 to 255 first`);
    if (typeof text !== 'string' || exec(BASE64, text) === null) {
      throw refuse(`${name} takes base64, with its padding, after the subtype`);
    }
    return made(name, () => bson.Binary.createFromBase64(text, subtype));
  }

  function hexadecimal(name, subtype, text) {
    if (!isInteger(subtype) || subtype < 0 || subtype > 255) throw refuse(`${name} takes a subtype from 0 to 255 first`);
    if (typeof text !== 'string' || exec(HEX, text) === null) throw refuse(`${name} takes pairs of hexadecimal digits`);
    return made(name, () => bson.Binary.createFromHexString(text, subtype));
  }

  function uuid(name, value) {
    return made(name, () => (value === undefined ? new bson.UUID() : new bson.UUID(value)));
  }

  function timestamp(name, first, second) {
    if (first === undefined) return new bson.Timestamp({ t: 0, i: 0 });
    const given = typeof first === 'number' ? { t: first, i: second ?? 0 } : first;
    if (typeof first === 'number' && !(isInteger(given.t) && isInteger(given.i))) {
      throw refuse(`${name} takes seconds and a counter, both integers`);
    }
    return made(name, () => new bson.Timestamp(given));
  }

  function code(name, text, scope) {
    if (typeof text !== 'function' && typeof text !== 'string') throw refuse(`${name} takes a function or its text`);
    return new bson.Code(typeof text === 'function' ? functionToString(text) : text, scope);
  }

  // The forms that mongosh takes, and years beyond four digits.
  const ISO = /^(\d{4}|[-+]\d{6})-?(\d{2})-?(\d{2})(?:[T ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d+))?)?)?(Z|[-+]\d{2}:?(?:\d{2})?)?)?$/;

  function isoDate(text) {
    if (text === undefined) return new SafeDate();
    const parts = typeof text === 'string' ? exec(ISO, text) : null;
    if (parts !== null) {
      const {
        1: year, 2: month, 3: day, 4: h = '00', 5: m = '00', 6: s = '00', 7: fraction = '000', 8: zone = 'Z',
      } = parts;
      const offset = zone === 'Z' ? zone : world.padZone(zone);
      const days = new SafeDate(SafeDate.UTC(2000 + (SafeNumber(year) % 400), SafeNumber(month), 0)).getUTCDate();
      const date = new SafeDate(`${year}-${month}-${day}T${h}:${m}:${s}.${slice(`${fraction}00`, 0, 3)}${offset}`);
      if (SafeNumber(day) <= days && getTime(date) === getTime(date)) return date;
    }
    throw refuse(`ISODate(${quoted(text)}): this is no date as ISO 8601 writes it, such as "2024-02-29T12:30:00Z"`);
  }

  world.padZone = (zone) => {
    const digits = world.replaceAll(slice(zone, 1), ':', '');
    return `${zone[0]}${slice(digits, 0, 2)}:${digits.length > 2 ? slice(digits, 2) : '00'}`;
  };

  // Called with `new` or without, as in the shell; statics and `instanceof` are the class's own.
  const constructor = (base, make) => new SafeProxy(base, {
    __proto__: null,
    apply: (target, self, given) => make(given[0], given[1]),
    construct: (target, given) => make(given[0], given[1]),
  });

  function start() {
    bson = globalThis.BSON;
    const { EJSON, ObjectId, Int32, Long, Double, Decimal128, UUID, Binary, Timestamp, Code, DBRef, BSONRegExp } = bson;
    minKey = constructor(bson.MinKey, () => new bson.MinKey());
    maxKey = constructor(bson.MaxKey, () => new bson.MaxKey());
    define('EJSON', EJSON);
    define('ObjectId', constructor(ObjectId, (value) => objectId('ObjectId', value)));
    define('ISODate', function ISODate(text) { return isoDate(text); });
    define('NumberInt', constructor(Int32, (value) => int32('NumberInt', value)));
    define('Int32', constructor(Int32, (value) => int32('Int32', value)));
    define('NumberLong', constructor(Long, (value) => int64('NumberLong', value)));
    define('Long', constructor(Long, (low, high) => (
      typeof low === 'number' && typeof high === 'number' ? new Long(low, high) : int64('Long', low))));
    define('Double', constructor(Double, (value) => double('Double', value)));
    define('NumberDecimal', constructor(Decimal128, (value) => decimal('NumberDecimal', value)));
    define('Decimal128', constructor(Decimal128, (value) => (
      isView(value) ? made('Decimal128', () => new Decimal128(value)) : decimal('Decimal128', value))));
    define('UUID', constructor(UUID, (value) => uuid('UUID', value)));
    define('BinData', constructor(Binary, (subtype, text) => binary('BinData', subtype, text)));
    define('Binary', constructor(Binary, (bytes, subtype) => made('Binary', () => (
      new Binary(isArray(bytes) ? new SafeUint8Array(bytes) : bytes, subtype)))));
    define('HexData', (subtype, text) => hexadecimal('HexData', subtype, text));
    define('MD5', (text) => hexadecimal('MD5', 5, text));
    define('Timestamp', constructor(Timestamp, (first, second) => timestamp('Timestamp', first, second)));
    define('MinKey', minKey);
    define('MaxKey', maxKey);
    define('Code', constructor(Code, (text, scope) => code('Code', text, scope)));
    define('DBRef', new SafeProxy(DBRef, {
      __proto__: null,
      apply: (target, self, given) => made('DBRef', () => new DBRef(given[0], given[1], given[2], given[3])),
    }));
    define('BSONRegExp', constructor(BSONRegExp, (pattern, options) => (
      made('BSONRegExp', () => new BSONRegExp(pattern, options)))));
    define('BSONSymbol', constructor(bson.BSONSymbol, (text) => new bson.BSONSymbol(SafeString(text))));
    return bson;
  }

  Object.assign(world, {
    refuse, kind, bareKey, startTypes: start,
    bson: () => bson,
    refusal: (error) => weakGet(refusals, error),
    isDate: (value) => value instanceof SafeDate,
    isRegExp: (value) => value instanceof SafeRegExp,
  });
})
