// Values that a caller should not pass in, for the tests that pass them in.

import fc from "fast-check";

import { IDS } from "./kit.mjs";

/** What a hostile object throws: the caller's own. */
export class Mine extends Error {}

const fail = () => {
  throw new Mine();
};

function revoked(target) {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

function detached(view) {
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

/** A view that was over a buffer's end when that became shorter. */
function outOfBounds() {
  const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
  const view = new DataView(buffer, 4);
  if (buffer.resizable) buffer.resize(2);
  return view;
}

class Liar extends Uint8Array {
  get buffer() {
    return 2 ** 32;
  }
  get byteOffset() {
    return -1;
  }
  get byteLength() {
    return 1e300;
  }
  get length() {
    return "x";
  }
}

class Species extends ArrayBuffer {
  static get [Symbol.species]() {
    return fail();
  }
}

/** A proxy that answers every question with another value, and keeps to no invariant. */
const shifty = () => {
  let turn = 0;
  const values = ["acme", "globex", 1, null, {}, undefined, "\ud800"];
  return new Proxy(function () {}.bind(), {
    get: (_, name) => (name === Symbol.toPrimitive ? undefined : values[turn++ % values.length]),
    has: () => turn++ % 2 === 0,
  });
};

/** Each makes a value anew, as some of them can be used once only. */
const MAKERS = {
  throwingProxy: () => new Proxy({}, { get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail }),
  shifty,
  shiftyObject: () => new Proxy({}, { get: shifty }),
  revokedObject: () => revoked({}),
  revokedArray: () => revoked([]),
  arrayProxy: () => new Proxy([1, 2], { get: fail }),
  bufferProxy: () => new Proxy(new ArrayBuffer(8), {}),
  viewProxy: () => new Proxy(new Uint8Array(8), {}),
  detachedBuffer: () => detached(new Uint8Array(8)).buffer,
  detachedBytes: () => detached(new Uint8Array(8)),
  detachedView: () => detached(new DataView(new ArrayBuffer(8))),
  outOfBounds,
  liar: () => new Liar(8),
  species: () => new Species(8),
  sharedBuffer: () => new SharedArrayBuffer(8),
  sharedView: () => new Uint8Array(new SharedArrayBuffer(8)),
  float64s: () => Float64Array.of(NaN, Infinity),
  fakeBuffer: () => Object.create(ArrayBuffer.prototype),
  fakeBytes: () => Object.create(Uint8Array.prototype),
  halfOfAPair: () => "\ud83d",
  loneTail: () => "a\udc00b",
  nothing: () => "\0",
  bigint: () => 2n ** 70n,
  symbol: () => Symbol("acme"),
  cycle: () => {
    const cycle = { tenantId: "acme" };
    cycle.self = cycle;
    return cycle;
  },
  toJson: () => ({ toJSON: () => "acme" }),
  toText: () => ({ toString: () => "acme", valueOf: fail, [Symbol.toPrimitive]: () => "acme" }),
  boxed: () => new String("acme"),
  getter: () => ({
    get tenantId() {
      return fail();
    },
    get method() {
      return fail();
    },
  }),
  thenable: () => ({ then: fail }),
  iterator: () => ({ [Symbol.iterator]: fail }),
  badIterator: () => ({ [Symbol.iterator]: 1 }),
  oddIterator: () => ({ [Symbol.iterator]: () => 1 }),
  arrayWithoutIterator: () => [[Object.assign(["content-type", "x"], { [Symbol.iterator]: null })]],
  sparse: () => new Array(4_294_967_295),
  lengthLiar: () => Object.assign([], { map: () => [fail], forEach: fail, [Symbol.iterator]: fail }),
  withoutPrototype: () => Object.assign(Object.create(null), { tenantId: "acme" }),
  prototypeInJson: () => JSON.parse('{"__proto__":{"tenantId":"globex"},"constructor":1}'),
  function: () => fail,
  class: () => Mine,
  generator: () => (function* () { yield fail(); })(),
  date: () => new Date(NaN),
  regexp: () => /x/g,
  headers: () => new Headers({ a: "b" }),
  global: () => globalThis,
  promise: () => Promise.resolve("acme"),
  error: () => new Mine(),
  long: () => "x".repeat(2_000_000),
};

/** Says what it makes when a property fails; the values themselves can't be looked at. */
const named = (name, make) => Object.assign(make, { toString: () => name });

const made = fc.constantFrom(...Object.keys(MAKERS)).map((name) => named(name, () => MAKERS[name]()));

const plain = (arbitrary) => arbitrary.map((value) => named(fc.stringify(value), () => value));

/** Anything at all, as a function that makes it: what generates them must not touch them. */
export const anything = fc.oneof(
  { weight: 3, arbitrary: made },
  {
    weight: 2,
    arbitrary: plain(
      fc.anything({
        withBigInt: true,
        withBoxedValues: true,
        withDate: true,
        withMap: true,
        withNullPrototype: true,
        withSet: true,
        withSparseArray: true,
        withTypedArray: true,
        maxDepth: 2,
      }),
    ),
  },
  plain(fc.constantFrom(...IDS, "nobody", "POST", "/chat", "/session", "__proto__", undefined, null)),
);

/** A function that makes an object whose members of these names are anything, given by getters or not. */
export const objectOf = (...names) =>
  fc
    .tuple(fc.array(anything, { minLength: names.length, maxLength: names.length }), fc.boolean())
    .map(([makers, byGetter]) => {
      const make = () => {
        const object = {};
        names.forEach((name, n) => {
          const property = byGetter ? { get: makers[n] } : { value: makers[n](), writable: true };
          Object.defineProperty(object, name, { ...property, enumerable: true, configurable: true });
        });
        return object;
      };
      return named(`${byGetter ? "getters of " : ""}${names}: ${makers.map(String)}`, make);
    });

/** A function that makes an object with these members and those that `make` makes. */
export const withMembers = (members, make) =>
  named(`${JSON.stringify(members)} and ${make}`, () =>
    Object.defineProperties({ ...members }, Object.getOwnPropertyDescriptors(make())),
  );

/** Whether the platform threw that because of what a caller's object is or does. */
export function isCallersOwn(error) {
  return error instanceof Mine || (error instanceof TypeError && /revoked/.test(error.message));
}
