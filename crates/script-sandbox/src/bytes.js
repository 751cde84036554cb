// What programs for the web expect of their world where bytes are concerned, as far as the `bson` package needs it
// (WHATWG Encoding and HTML, Web Cryptography), made of the few functions of the process around it.
(function (host) {
  'use strict';
  const { encode, decode, fromBase64, toBase64, random } = host;
  const define = (name, value) =>
    Reflect.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });

  class TextEncoder {
    get encoding() { return 'utf-8'; }
    encode(text = '') { return encode(`${text}`); }
  }

  class TextDecoder {
    #fatal;
    constructor(label = 'utf-8', { fatal = false } = {}) {
      if (!/^\s*utf-?8\s*$/i.test(label)) throw new RangeError(`the encoding ${label} is not there; utf-8 is`);
      this.#fatal = Boolean(fatal);
    }
    get encoding() { return 'utf-8'; }
    get fatal() { return this.#fatal; }
    decode(bytes = new Uint8Array()) {
      const view = ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : new Uint8Array(bytes);
      return decode(view, this.#fatal);
    }
  }

  const crypto = Object.freeze({
    getRandomValues(view) {
      if (view.byteLength > 65_536) throw new RangeError('no more than 65536 random bytes are given at once');
      new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(random(view.byteLength));
      return view;
    },
  });

  define('TextEncoder', TextEncoder);
  define('TextDecoder', TextDecoder);
  define('atob', (text) => fromBase64(`${text}`));
  define('btoa', (text) => toBase64(`${text}`));
  define('crypto', crypto);
  // The package takes 17 MiB for itself as soon as it runs, so it runs when a script asks for it. It is given as a text.
  const { Function, Reflect: { defineProperty }, Object: { freeze } } = globalThis;
  return (bundle) => {
    let bson;
    const get = () => {
      bson ??= freeze(new Function(`${bundle}\nreturn BSON;`)());
      return bson;
    };
    defineProperty(globalThis, 'BSON', { get, configurable: true, enumerable: false });
  };
})
