// From the server's documents, as canonical Extended JSON, to the values that MongoDB's shell shows; and how those are
// shown on the console.
(function (world) {
  'use strict';

  const {
    exec, getTime, is, isArray, isDate, join, kind, list, ownKeys, push, quote, toISOString,
    SafeDate, SafeNumber, SafeRegExp, SafeString,
  } = world;

  const LATEST = 8.64e15;
  const FLAGS = /^[ims]*$/;
  const getSource = world.method({ get: Object.getOwnPropertyDescriptor(RegExp.prototype, 'source').get }, 'get');

  // A regular expression that JavaScript would write differently stays what the server sent.
  function regExp(bson, { pattern, options }) {
    if (exec(FLAGS, options) !== null) {
      try {
        const own = new SafeRegExp(pattern, options);
        if (getSource(own) === pattern) return own;
      } catch {
        // MongoDB's expressions are not JavaScript's.
      }
    }
    return new bson.BSONRegExp(pattern, options);
  }

  function date(typed) {
    const time = SafeNumber(typed.$date.$numberLong);
    return time >= -LATEST && time <= LATEST ? new SafeDate(time) : typed;
  }

  function binary(bson, { base64, subType }) {
    const made = bson.Binary.createFromBase64(base64, SafeNumber(`0x${subType}`));
    return made.sub_type === 4 && made.position === 16 ? made.toUUID() : made;
  }

  const READERS = {
    __proto__: null,
    $numberInt: (bson, typed) => SafeNumber(typed.$numberInt),
    $numberDouble: (bson, typed) => SafeNumber(typed.$numberDouble),
    $numberLong: (bson, typed) => bson.Long.fromString(typed.$numberLong),
    $numberDecimal: (bson, typed) => bson.Decimal128.fromString(typed.$numberDecimal),
    $oid: (bson, typed) => new bson.ObjectId(typed.$oid),
    $date: (bson, typed) => date(typed),
    $binary: (bson, typed) => binary(bson, typed.$binary),
    $timestamp: (bson, typed) => new bson.Timestamp(typed.$timestamp),
    $regularExpression: (bson, typed) => regExp(bson, typed.$regularExpression),
    $symbol: (bson, typed) => new bson.BSONSymbol(typed.$symbol),
    $code: (bson, typed) => new bson.Code(typed.$code, typed.$scope === undefined ? undefined : revive(typed.$scope)),
    $minKey: (bson) => new bson.MinKey(),
    $maxKey: (bson) => new bson.MaxKey(),
    $undefined: () => undefined,
  };

  // Changes what came from the parser, which nobody else has seen.
  function revive(value) {
    if (typeof value !== 'object' || value === null) return value;
    if (isArray(value)) {
      for (let i = 0; i < value.length; i += 1) value[i] = revive(value[i]);
      return value;
    }
    const names = ownKeys(value);
    if (names.length > 0 && names.length <= 2 && names[0][0] === '$') {
      const read = READERS[names[0] === '$scope' ? '$code' : names[0]];
      if (read !== undefined) return read(world.bson(), value);
    }
    for (let i = 0; i < names.length; i += 1) value[names[i]] = revive(value[names[i]]);
    return value;
  }

  const numberText = (value) => (is(value, -0) ? '-0' : SafeString(value));

  // How a value is shown in the words of the shell; `undefined` for one that is not its own.
  function shown(value, inner) {
    const named = world.shellName?.(value);
    if (named !== undefined) return named;
    if (world.bson() === null || typeof value !== 'object') return undefined;
    if (isDate(value)) return getTime(value) === getTime(value) ? `ISODate('${toISOString(value)}')` : 'Invalid Date';
    switch (kind(value)) {
      case 'ObjectId': return `ObjectId('${world.bsonMethods.toHexString(value)}')`;
      case 'Decimal128': return `Decimal128('${world.bsonMethods.decimalToString(value)}')`;
      case 'Long': return `Long('${SafeString(value)}')`;
      case 'Double': return `Double(${numberText(value.value)})`;
      case 'Int32': return `Int32(${numberText(value.value)})`;
      case 'Timestamp': return `Timestamp({ t: ${value.t}, i: ${value.i} })`;
      case 'Binary': {
        const base64 = value.toString('base64');
        return value.sub_type === 4 && value.position === 16
          ? `UUID('${value.toUUID().toHexString()}')` : `Binary.createFromBase64('${base64}', ${value.sub_type})`;
      }
      case 'Code': return `Code(${inner(value.code)}${value.scope ? `, ${inner(value.scope)}` : ''})`;
      case 'DBRef': {
        const parts = list();
        push(parts, inner(value.collection));
        push(parts, inner(value.oid));
        if (value.db) push(parts, inner(value.db));
        return `DBRef(${join(parts, ', ')})`;
      }
      case 'BSONRegExp': return `BSONRegExp(${quote(value.pattern)}, ${quote(value.options)})`;
      case 'BSONSymbol': return `BSONSymbol(${quote(value.value)})`;
      case 'MinKey': return 'MinKey()';
      case 'MaxKey': return 'MaxKey()';
      default: return undefined;
    }
  }

  Object.assign(world, { revive, shown });
})
