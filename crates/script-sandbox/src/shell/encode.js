// From JavaScript's values to Extended JSON, in one pass: each property is read once, so that no getter and no proxy can
// say one thing and mean another. The canonical form is what commands are made of; it refuses what BSON cannot hold.
(function (world) {
  'use strict';

  const {
    apply, bareKey, exec, getOwnPropertyDescriptor, getPrototypeOf, getTime, hasOwn, indexOf, is, isArray, isDate, isInteger, isFinite, isRegExp,
    isView, isWellFormed, join, kind, list, mapForEach, ownKeys, padStart, push, refuse, slice, stringify,
    toFixed, toHex, toISOString,
    SafeArrayBuffer, SafeBigInt, SafeMap, SafeNumber, SafeSet, SafePromise, SafeString, SafeUint8Array, SafeWeakMap,
  } = world;
  const { fromCharCode } = String;
  const { btoa } = globalThis;
  const getFlags = world.method({ get: getOwnPropertyDescriptor(RegExp.prototype, 'flags').get }, 'get');
  const getSource = world.method({ get: getOwnPropertyDescriptor(RegExp.prototype, 'source').get }, 'get');
  const { asIntN } = BigInt;
  const ObjectPrototype = Object.prototype;

  // MongoDB reads documents up to 200 deep, and the portal's own take some of that.
  const DEEPEST = 180;
  const LAST_ISO_MOMENT = 253_402_300_799_999;

  // What reads as a type of Extended JSON and not as a field, with what to write instead.
  const TYPES = {
    __proto__: null,
    $oid: "ObjectId('…')", $numberInt: 'NumberInt(…)', $numberLong: "NumberLong('…')", $numberDouble: 'Double(…)',
    $numberDecimal: "NumberDecimal('…')", $date: "ISODate('…')", $binary: "BinData(subtype, 'base64')", $uuid: "UUID('…')",
    $code: "Code('…')", $scope: "Code('…', {…})", $timestamp: 'Timestamp(seconds, counter)', $symbol: "BSONSymbol('…')",
    $regularExpression: 'a regular expression such as /a/i', $undefined: 'null', $minKey: 'MinKey()', $maxKey: 'MaxKey()',
    $dbPointer: "DBRef('collection', id)",
  };

  // Where a value is: its name in what is around it. Paths are put together only for messages.
  function path(place) {
    const { name, outer } = place;
    if (outer === null) return '';
    const before = path(outer);
    if (typeof name === 'number') return `${before}[${name}]`;
    return before === '' ? name : `${before}.${name}`;
  }
  function wrong(place, what) {
    const whole = path(place) || 'the value';
    return refuse(`${whole.length > 200 ? `${slice(whole, 0, 200)}…` : whole} ${what}`);
  }
  const inside = (outer, name, value) => ({ __proto__: null, name, value, outer, depth: outer.depth + 1 });

  // Pieces are put together now and then: a text of a million pieces takes far more memory than it is long.
  const PIECE = 16 * 1024;

  function put(out, text) {
    out.text += text;
    if (out.text.length <= PIECE) return;
    out.length += out.text.length;
    if (out.length > out.limit) throw out.tooLarge();
    // Whoever looks at all of a string makes it one.
    isWellFormed(out.text);
    push(out.pieces, out.text);
    out.text = '';
  }

  function whole(out) {
    push(out.pieces, out.text);
    const text = join(out.pieces, '');
    if (text.length > out.limit) throw out.tooLarge();
    return text;
  }

  function string(out, text, outer, name) {
    if (!out.relaxed && !isWellFormed(text)) throw wrong(inside(outer, name), 'holds half of a surrogate pair');
    put(out, stringify(text));
  }

  function number(out, value) {
    if (out.relaxed && isFinite(value)) return put(out, is(value, -0) ? '-0.0' : SafeString(value));
    if (!out.relaxed && isInteger(value) && value >= -2147483648 && value <= 2147483647 && !is(value, -0)) {
      return put(out, `{"$numberInt":"${value}"}`);
    }
    return put(out, `{"$numberDouble":"${doubleText(value)}"}`);
  }

  function doubleText(value) {
    if (is(value, -0)) return '-0.0';
    const text = SafeString(value);
    return isInteger(value) && indexOf(text, 'e') < 0 ? toFixed(value, 1) : text;
  }

  function integer(out, value, outer, name) {
    if (value < -9223372036854775808n || value > 9223372036854775807n) {
      if (out.relaxed) return put(out, `"${value}"`);
      throw wrong(inside(outer, name), `is ${value}, which does not fit into 64 bits; NumberDecimal("…") holds 34 digits`);
    }
    return put(out, out.relaxed ? `${value}` : `{"$numberLong":"${value}"}`);
  }

  function date(out, value, place) {
    const time = getTime(value);
    if (time !== time) {
      if (out.relaxed) return put(out, 'null');
      throw wrong(place, 'is an invalid date');
    }
    if (out.relaxed && time >= 0 && time <= LAST_ISO_MOMENT) {
      const iso = toISOString(value);
      return put(out, `{"$date":"${slice(iso, 19) === '.000Z' ? `${slice(iso, 0, 19)}Z` : iso}"}`);
    }
    return put(out, `{"$date":{"$numberLong":"${time}"}}`);
  }

  const FLAGS = /^[imsu]*$/;
  const OPTIONS = /^[ilmsux]*$/;

  function regExp(out, pattern, options, known, place) {
    if (!out.relaxed && exec(known, options) === null) {
      throw wrong(place, `is a regular expression with the flags "${options}"; MongoDB knows i, m, s, u, and x in BSONRegExp`);
    }
    if (!out.relaxed && indexOf(pattern, '\0') >= 0) throw wrong(place, 'is a regular expression with a NUL');
    put(out, '{"$regularExpression":{"pattern":');
    string(out, pattern, place.outer, place.name);
    put(out, `,"options":${stringify(options)}}}`);
  }

  function base64(bytes) {
    let binary = '';
    for (let i = 0; i < bytes.length; i += 8192) {
      const length = i + 8192 < bytes.length ? 8192 : bytes.length - i;
      binary += apply(fromCharCode, undefined, new SafeUint8Array(bytes.buffer, bytes.byteOffset + i, length));
    }
    return btoa(binary);
  }

  const binary = (out, bytes, subtype) =>
    put(out, `{"$binary":{"base64":"${base64(bytes)}","subType":"${padStart(toHex(subtype & 255, 16), 2, '0')}"}}`);

  const HEX_ID = /^[0-9a-f]{24}$/;
  const DECIMAL = /^[-+.0-9A-Za-z]+$/;

  function checked(out, name, text, form, place) {
    if (typeof text !== 'string' || exec(form, text) === null) throw wrong(place, 'is no whole value of its type');
    put(out, `{"${name}":"${text}"}`);
  }

  // Values of the package. What they hold is read as what it must be: a script can write into them.
  function special(out, type, value, place) {
    const { methods } = out;
    switch (type) {
      case 'ObjectId': return checked(out, '$oid', methods.toHexString(value), HEX_ID, place);
      case 'Decimal128': return checked(out, '$numberDecimal', methods.decimalToString(value), DECIMAL, place);
      case 'Int32': return put(out, out.relaxed ? `${value.value | 0}` : `{"$numberInt":"${value.value | 0}"}`);
      case 'Double': {
        const own = SafeNumber(value.value);
        return put(out, out.relaxed && isFinite(own) ? doubleText(own) : `{"$numberDouble":"${doubleText(own)}"}`);
      }
      case 'Long': {
        if (value.unsigned && value.high < 0) throw wrong(place, 'is an unsigned Long that does not fit into 64 bits');
        return integer(out, asIntN(64, (SafeBigInt(value.high | 0) << 32n) + SafeBigInt(value.low >>> 0)), place.outer, place.name);
      }
      case 'Timestamp': return put(out, `{"$timestamp":{"t":${value.high >>> 0},"i":${value.low >>> 0}}}`);
      case 'Binary': {
        const { buffer, position } = value;
        if (!isView(buffer)) throw wrong(place, 'is no whole value of its type');
        return binary(out, new SafeUint8Array(buffer.buffer, buffer.byteOffset, position), value.sub_type);
      }
      case 'Code': {
        put(out, '{"$code":');
        string(out, SafeString(value.code), place, 'code');
        const { scope } = value;
        if (scope !== null && scope !== undefined) {
          put(out, ',"$scope":');
          object(out, scope, inside(place, 'scope', scope));
        }
        return put(out, '}');
      }
      case 'DBRef': {
        const plain = { __proto__: null, $ref: SafeString(value.collection), $id: value.oid };
        if (typeof value.db === 'string') plain.$db = value.db;
        return fields(out, [plain, value.fields], place);
      }
      case 'BSONRegExp': return regExp(out, SafeString(value.pattern), SafeString(value.options), OPTIONS, place);
      case 'BSONSymbol': {
        put(out, '{"$symbol":');
        string(out, SafeString(value.value), place, 'value');
        return put(out, '}');
      }
      case 'MinKey': return put(out, '{"$minKey":1}');
      default: return put(out, '{"$maxKey":1}');
    }
  }

  function field(out, name, place) {
    if (!out.relaxed && indexOf(name, '\0') >= 0) throw wrong(place, 'has a field whose name holds a NUL');
    if (!out.relaxed && TYPES[name] !== undefined) {
      throw wrong(inside(place, name), `would be read as a type and not as a field; write ${TYPES[name]}`);
    }
    string(out, name, place, name);
    put(out, ':');
  }

  const omitted = (value) => value === undefined || typeof value === 'function' || typeof value === 'symbol';

  // The fields of one document, which may come from several objects.
  function fields(out, objects, place) {
    let first = true;
    const add = (name, value) => {
      if (out.relaxed && omitted(value) && bareKey(value) === undefined) return;
      if (!first) put(out, ',');
      first = false;
      field(out, name, place);
      any(out, value, place, name);
    };
    put(out, '{');
    for (let n = 0; n < objects.length; n += 1) {
      const from = objects[n];
      if (from instanceof SafeMap) {
        mapForEach(from, (value, name) => {
          if (typeof name !== 'string') throw wrong(place, 'is a Map with a key that is no string');
          add(name, value);
        });
        continue;
      }
      const names = ownKeys(from ?? {});
      for (let i = 0; i < names.length; i += 1) {
        const property = getOwnPropertyDescriptor(from, names[i]);
        if (property === undefined || typeof names[i] !== 'string') continue;
        if (!property.enumerable) continue;
        if (hasOwn(property, 'value')) add(names[i], property.value);
        else add(names[i], property.get === undefined ? undefined : apply(property.get, from, []));
      }
    }
    put(out, '}');
  }

  function array(out, value, place) {
    put(out, '[');
    const { length } = value;
    for (let i = 0; i < length; i += 1) {
      if (i > 0) put(out, ',');
      const element = value[i];
      if (out.relaxed && omitted(element) && bareKey(element) === undefined) put(out, 'null');
      else any(out, element, place, i);
    }
    put(out, ']');
  }

  const UNFIT = [
    [SafeSet, 'a Set; an array holds the same values'], [SafePromise, 'a promise'], [SafeWeakMap, 'a WeakMap'],
    [SafeNumber, 'a Number object; leave `new` out'], [SafeString, 'a String object; leave `new` out'],
    [Boolean, 'a Boolean object; leave `new` out'], [Error, 'an error'],
  ];

  function object(out, value, place) {
    if (place.depth > out.deepest) throw wrong(place, `is nested more than ${out.deepest} deep`);
    for (let outer = place.outer; outer !== null; outer = outer.outer) {
      if (outer.value === value) throw wrong(place, 'holds itself');
    }
    if (isArray(value)) return array(out, value, place);
    const prototype = getPrototypeOf(value);
    if (prototype !== null && prototype !== ObjectPrototype) return other(out, value, place);
    return plainObject(out, value, place);
  }

  function plainObject(out, value, place) {
    if (out.relaxed) {
      const { toJSON } = value;
      if (typeof toJSON === 'function') return any(out, apply(toJSON, value, ['']) ?? null, place, '');
    } else if (value._bsontype !== undefined) {
      throw wrong(place, 'has the field _bsontype, which no document may have');
    }
    return fields(out, [value], place);
  }

  // What is no plain object.
  function other(out, value, place) {
    const type = kind(value);
    if (type !== undefined) return special(out, type, value, place);
    if (isDate(value)) return date(out, value, place);
    if (isRegExp(value)) return regExp(out, getSource(value), getFlags(value), FLAGS, place);
    if (value instanceof SafeUint8Array) return binary(out, value, 0);
    if (value instanceof SafeArrayBuffer) return binary(out, new SafeUint8Array(value), 0);
    if (out.relaxed) return plainObject(out, value, place);
    for (let i = 0; i < UNFIT.length; i += 1) {
      if (value instanceof UNFIT[i][0]) throw wrong(place, `is ${UNFIT[i][1]}`);
    }
    if (isView(value)) throw wrong(place, 'is a typed array that is no Uint8Array');
    return plainObject(out, value, place);
  }

  function any(out, value, outer, name) {
    switch (typeof value) {
      case 'string': return string(out, value, outer, name);
      case 'number': return number(out, value);
      case 'boolean': return put(out, value ? 'true' : 'false');
      case 'bigint': return integer(out, value, outer, name);
      case 'undefined':
        throw wrong(inside(outer, name), 'is undefined; write null if that is meant, or leave the field out');
      case 'symbol': throw wrong(inside(outer, name), 'is a symbol, which no document can hold');
      case 'function': {
        const key = bareKey(value);
        if (key !== undefined) return special(out, key, value, inside(outer, name, value));
        const what = world.shown(value);
        const instead = what === undefined ? "; write its text as a string or as Code('…')" : '';
        throw wrong(inside(outer, name), `is ${what ?? 'a function'}, which no document can hold${instead}`);
      }
      default:
    }
    if (value === null) return put(out, 'null');
    world.answered(value);
    return object(out, value, inside(outer, name, value));
  }

  function write(value, relaxed, limit, tooLarge) {
    const methods = world.bsonMethods;
    const pieces = list();
    const out = { __proto__: null, text: '', pieces, length: 0, relaxed, limit, tooLarge, methods, deepest: relaxed ? 1000 : DEEPEST };
    any(out, value, { __proto__: null, name: '', value: null, outer: null, depth: -1 }, '');
    return whole(out);
  }

  const STATEMENT = 8 * 1024 * 1024;

  Object.assign(world, {
    // A command. It ends up in one line: JSON writes no line breaks of its own.
    canonical: (command) => write(command, false, STATEMENT, () => (
      refuse('the command is longer than 8 MiB of Extended JSON; make several of it'))),
    // The value of a script.
    relaxed(value, limit) {
      if (omitted(value) && bareKey(value) === undefined) return undefined;
      return write(value, true, limit, () => new world.SafeRangeError(`the script's value is larger than ${limit} bytes of JSON`));
    },
    captureMethods(bson) {
      world.bsonMethods = {
        __proto__: null,
        toHexString: world.method(bson.ObjectId.prototype, 'toHexString'),
        decimalToString: world.method(bson.Decimal128.prototype, 'toString'),
      };
    },
  });
})
