// Tenants, sessions, chats, and the options of a service.

import assert from "node:assert/strict";
import { test } from "node:test";

import { START, TENANTS, Tenantry, countedRandom, manualClock, refusal, service, version } from "./kit.mjs";

test("tenants are listed in the order of the text, with what their rows say", () => {
  const { app } = service();
  assert.deepEqual(app.tenants().map(({ id }) => id), ["acme", "globex", "tiny"]);
  assert.deepEqual(app.tenants()[0], {
    id: "acme",
    name: "Acme Corp",
    welcome: "Howdy!",
    model: "mock",
    limits: { chatPer10s: 3, sessions: undefined },
    reply: { style: "reverse", tag: "ACME MOCK" },
  });
  assert.deepEqual(app.warnings, []);
});

test("a session is opened, and answers", () => {
  const { app } = service();
  const { sessionId, tenant } = app.createSession("acme");
  assert.match(sessionId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(tenant, { id: "acme", name: "Acme Corp", welcome: "Howdy!" });
  assert.deepEqual(app.chat({ tenantId: "acme", sessionId, message: " ab " }), {
    tenantId: "acme",
    sessionId,
    reply: "Howdy! [ACME MOCK] You said: 'ab'. Here's it reversed: 'ba'",
    model: "mock",
    mock: true,
    limit: { limit: 3, remaining: 2, resetMs: 10_000, windowMs: 10_000 },
  });
});

test("text of every script arrives and comes back", () => {
  const { app } = service();
  const { sessionId } = app.createSession("acme");
  const message = 'ä漢😀\u0000"\\\u2028\ufeff';
  const { reply } = app.chat({ tenantId: "acme", sessionId, message });
  assert.ok(reply.includes(`'${message}'`), reply);
});

test("the text may be bytes, a Node buffer, or a part of a larger buffer", () => {
  const bytes = new TextEncoder().encode(`xx${TENANTS}xx`);
  for (const text of [bytes.subarray(2, -2), Buffer.from(TENANTS)]) {
    assert.equal(Tenantry.fromJsonl(text).tenants().length, 3);
  }
});

test("limits hold, and say when to come back", () => {
  const { app, clock } = service();
  const { sessionId } = app.createSession("acme");
  const chat = () => app.chat({ tenantId: "acme", sessionId, message: "x" });
  for (let n = 0; n < 3; n++) chat();
  clock.now += 4_000;
  const error = refusal(chat, "rate_limited");
  assert.equal(error.status, 429);
  assert.equal(error.retryAfterMs, 6_000);
  assert.deepEqual(error.limit, { limit: 3, remaining: 0, resetMs: 6_000, windowMs: 10_000 });
  clock.now += error.retryAfterMs;
  assert.equal(chat().limit.remaining, 2);
});

test("usage says what is used, and counts nothing", () => {
  const { app } = service();
  const { sessionId } = app.createSession("acme");
  app.chat({ tenantId: "acme", sessionId, message: "x" });
  for (let n = 0; n < 9; n++) {
    const { sessions, limit } = app.usage("acme");
    assert.deepEqual([sessions, limit.remaining], [1, 2]);
  }
  assert.deepEqual(app.usage("globex"), { sessions: 0, limit: undefined });
  refusal(() => app.usage("nobody"), "unknown_tenant");
});

test("without limits nothing is refused for being too much", () => {
  const { app } = service({ limits: false, maxSessions: 1 });
  for (let n = 0; n < 9; n++) {
    const { sessionId } = app.createSession("tiny");
    assert.equal(app.chat({ tenantId: "tiny", sessionId, message: "x" }).limit, undefined);
  }
});

test("a session ends when it is not used for its lifetime, and lives while it is", () => {
  const { app, clock } = service({ sessionTtlMs: 1_000 });
  const used = app.createSession("globex").sessionId;
  const idle = app.createSession("globex").sessionId;
  const chat = (sessionId) => app.chat({ tenantId: "globex", sessionId, message: "x" });
  for (let n = 0; n < 5; n++) {
    clock.now += 900;
    chat(used);
  }
  assert.equal(refusal(() => chat(idle), "unknown_session").status, 404);
  assert.equal(app.usage("globex").sessions, 1);
});

test("a lifetime of 0 is for ever", () => {
  const { app, clock } = service({ sessionTtlMs: 0 });
  const { sessionId } = app.createSession("globex");
  clock.now += 100 * 365 * 24 * 3600 * 1000;
  app.chat({ tenantId: "globex", sessionId, message: "x" });
});

test("a tenant may have as many sessions as its row or else maxSessions says", () => {
  const { app } = service({ maxSessions: 1 });
  for (const [id, most] of [["acme", 1], ["tiny", 2]]) {
    for (let n = 0; n < most; n++) app.createSession(id);
    assert.equal(refusal(() => app.createSession(id), "too_many_sessions").status, 429);
  }
});

test("ids are made of the caller's random bytes, each of which is used once", () => {
  const opened = () => {
    const { app } = service({ random: countedRandom() });
    // What opens no session takes no bytes away.
    app.handle({ method: "GET", target: "/" });
    return [app.createSession("acme").sessionId, app.createSession("acme").sessionId];
  };
  assert.deepEqual(opened(), opened());
  assert.deepEqual(opened(), [
    "00000001-0000-4000-8000-000000000000",
    "00000002-0000-4000-8000-000000000000",
  ]);
});

test("random bytes that come twice are an internal error, and take no session away", () => {
  const { app } = service({ random: () => undefined });
  const { sessionId } = app.createSession("acme");
  const error = refusal(() => app.createSession("globex"), "internal");
  assert.equal(error.status, 500);
  assert.equal(app.usage("globex").sessions, 0);
  app.chat({ tenantId: "acme", sessionId, message: "x" });
});

test("a source of random bytes that gives its array away is refused, and only then", () => {
  let isBad = true;
  const { app } = service({
    random: (bytes) => void (isBad && structuredClone(bytes, { transfer: [bytes.buffer] })),
  });
  refusal(() => app.createSession("acme"), "invalid_argument");
  isBad = false;
  app.createSession("acme");
});

test("what a clock or a source throws comes out, and nothing has changed", () => {
  const thrown = new Error("mine");
  let fails = false;
  const fail = () => {
    if (fails) throw thrown;
  };
  const { app } = service({
    clock: () => (fail(), START),
    random: countedRandom(),
  });
  app.createSession("acme");
  fails = true;
  assert.throws(() => app.createSession("acme"), (error) => error === thrown);
  fails = false;
  assert.equal(app.usage("acme").sessions, 1);
  const other = service({ random: () => { throw thrown; } }).app;
  assert.throws(() => other.createSession("acme"), (error) => error === thrown);
});

test("a platform without random numbers is an internal error, and no session", () => {
  const { app } = service();
  const real = crypto.getRandomValues;
  crypto.getRandomValues = () => {
    throw new Error("no entropy");
  };
  try {
    refusal(() => app.createSession("acme"), "internal");
  } finally {
    delete crypto.getRandomValues;
    assert.equal(crypto.getRandomValues, real);
  }
  assert.equal(app.usage("acme").sessions, 0);
  app.createSession("acme");
});

test("a clock must tell a time", () => {
  for (const time of [Number.NaN, -1, Infinity, 1e300, "1", 1n, undefined, null, {}]) {
    const clock = manualClock();
    const app = Tenantry.fromJsonl(TENANTS, { clock });
    clock.now = time;
    refusal(() => app.createSession("acme"), "invalid_argument");
    refusal(() => app.handle({ method: "GET", target: "/" }), "invalid_argument");
    refusal(() => Tenantry.fromJsonl(TENANTS, { clock: () => time }), "invalid_argument");
    clock.now = 0.5;
    app.createSession("acme");
  }
});

test("every option that is not what it must be is named", () => {
  const wrong = {
    limits: [0, "yes", null, {}],
    sessionTtlMs: [-1, 1, 9, 10.5, Number.NaN, Infinity, "10", 10n, 1e15],
    maxSessions: [-1, 0.5, 2 ** 32, Number.NaN, "1", {}, 1n],
    maxBodyBytes: [-1, 0.5, 64 * 1024 * 1024 + 1, Infinity, "1", Symbol("1")],
    storage: [null, 1, "localStorage", {}, { key() {}, getItem() {}, setItem() {} }],
    storagePrefix: [null, 1, {}],
    clock: [null, 1, {}],
    random: [null, 1, {}, "bytes"],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const open = () => Tenantry.fromJsonl(TENANTS, { [name]: value });
      assert.match(refusal(open, "invalid_argument").message, new RegExp(`options\\.${name} `));
    }
  }
  for (const options of [null, 1, "x", true, () => undefined]) {
    refusal(() => Tenantry.fromJsonl(TENANTS, options), "invalid_argument");
  }
  for (const name of Object.keys(wrong)) {
    Tenantry.fromJsonl(TENANTS, { [name]: undefined });
  }
});

test("the bounds of options are allowed", () => {
  for (const sessionTtlMs of [0, 10, 18_000_000_000_000]) {
    service({ sessionTtlMs }).app.createSession("acme");
  }
  service({ maxSessions: 2 ** 32 - 1, maxBodyBytes: 64 * 1024 * 1024 }).app.createSession("acme");
  refusal(() => service({ maxSessions: 0 }).app.createSession("acme"), "too_many_sessions");
});

test("the version is the package's", () => {
  assert.match(version, /^\d+\.\d+\.\d+/);
});
