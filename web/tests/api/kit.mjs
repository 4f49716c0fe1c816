// What the tests of the npm package have in common.

import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { out } from "../support/built.mjs";

const built = pathToFileURL(join(out, "package/dist/index.js"));

export const { Tenantry, TenantryError, version } = await import(built.href);

/** Acme may chat three times in 10 seconds, globex has no limit, tiny may have two sessions. */
export const TENANTS = `{"id":"acme","name":"Acme Corp","welcome":"Howdy!","limits":{"chat_per_10s":3}}
{"id":"globex","name":"Globex","welcome":"Welcome."}
{"id":"tiny","name":"Tiny","welcome":"Hi.","limits":{"chat_per_10s":2,"sessions":2}}
`;

export const IDS = ["acme", "globex", "tiny"];

/** A moment to start at. */
export const START = 1_700_000_000_000;

/** A clock that stands still unless it is told to go. */
export function manualClock(now = START) {
  const clock = () => clock.now;
  clock.now = now;
  return clock;
}

/** Random bytes that are the same in every run, and never twice. */
export function countedRandom(start = 0) {
  let calls = start;
  return (bytes) => {
    calls += 1;
    new DataView(bytes.buffer).setUint32(0, calls);
  };
}

/** A service with a clock of its own: `{ app, clock }`. */
export function service(options = {}) {
  const clock = manualClock();
  return { app: Tenantry.fromJsonl(TENANTS, { clock, ...options }), clock };
}

/** The error that a call throws; it must throw one of ours, with that code. */
export function refusal(call, code) {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof TenantryError, `not a TenantryError: ${error?.stack ?? error}`);
    assert.equal(error.code, code, error.message);
    return error;
  }
  return assert.fail(`nothing was thrown, instead of ${code}`);
}

/** What comes of a call, so that two can be compared. */
export function outcome(call) {
  try {
    return { value: call() };
  } catch (error) {
    assert.ok(error instanceof TenantryError, `not a TenantryError: ${error?.stack ?? error}`);
    const { status, code, detail, retryAfterMs, limit } = error;
    return { status, code, detail, retryAfterMs, limit };
  }
}

/** A POST of JSON for `handle`. */
export const post = (target, value) => ({ method: "POST", target, body: JSON.stringify(value) });

/** The JSON of an answer. */
export const jsonOf = ({ body }) => JSON.parse(new TextDecoder().decode(body));

/** A `localStorage` with nothing behind it. */
export class FakeStorage {
  constructor(entries = []) {
    this.entries = new Map(entries);
  }
  get length() {
    return this.entries.size;
  }
  key(index) {
    return [...this.entries.keys()][index] ?? null;
  }
  getItem(name) {
    return this.entries.get(name) ?? null;
  }
  setItem(name, text) {
    this.entries.set(name, String(text));
  }
  removeItem(name) {
    this.entries.delete(name);
  }
}

/** The names of a storage's entries that start like that. */
export function names(storage, start = "") {
  return [...storage.entries.keys()].filter((name) => name.startsWith(start)).sort();
}

/** Does whatever a good caller does; fails where the service does not answer as it should. */
export function knownGoodStory(app) {
  const { sessionId } = app.createSession("globex");
  const { reply } = app.chat({ tenantId: "globex", sessionId, message: "hello" });
  assert.equal(reply, "Welcome. [GLOBEX MOCK] Echo: HELLO");
  assert.equal(app.handle({ method: "GET", target: "/" }).status, 200);
}
