// State that is taken out of one service and into another.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { IDS, START, TENANTS, Tenantry, countedRandom, manualClock, outcome, refusal, service } from "./kit.mjs";

const ID = "abcdef01-0000-4000-8000-000000000000";

/** A random call, as a function of a service and the sessions that are known by then. */
const calls = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("open"), tenantId: fc.constantFrom(...IDS, "nobody") }),
    fc.record({
      kind: fc.constant("chat"),
      tenantId: fc.constantFrom(...IDS),
      session: fc.nat(20),
      message: fc.string({ unit: "binary", maxLength: 5 }),
    }),
    fc.record({ kind: fc.constant("usage"), tenantId: fc.constantFrom(...IDS) }),
    fc.record({ kind: fc.constant("wait"), ms: fc.integer({ min: -3_000, max: 12_000 }) }),
  ),
  { maxLength: 40 },
);

function run(app, clock, sessions, { kind, tenantId, session, message, ms }) {
  switch (kind) {
    case "wait":
      clock.now += ms;
      return undefined;
    case "usage":
      return app.usage(tenantId);
    case "open":
      return outcome(() => app.createSession(tenantId));
    default: {
      const sessionId = sessions[session % sessions.length] ?? ID;
      return outcome(() => app.chat({ tenantId, sessionId, message }));
    }
  }
}

test("who takes over a state answers from then on as who gave it", () => {
  const property = (before, after) => {
    const clock = manualClock();
    const options = { clock, sessionTtlMs: 30_000 };
    const app = Tenantry.fromJsonl(TENANTS, { ...options, random: countedRandom() });
    const sessions = [];
    for (const call of before) {
      const { value } = run(app, clock, sessions, call) ?? {};
      if (call.kind === "open" && value) sessions.push(value.sessionId);
    }
    const state = app.export();
    const other = Tenantry.fromJsonl(TENANTS, { ...options, random: countedRandom(1_000) });
    other.createSession("globex");
    const { sessions: taken, skipped } = other.import(JSON.parse(JSON.stringify(state)));
    assert.deepEqual([taken, skipped], [state.sessions.length, 0]);
    assert.deepEqual(other.export(), state);

    const opened = [[...sessions], [...sessions]];
    for (const call of after) {
      const moment = clock.now;
      const answers = [app, other].map((each, n) => {
        clock.now = moment;
        const answer = run(each, clock, opened[n], call);
        const id = call.kind === "open" && answer.value?.sessionId;
        if (id) opened[n].push(id);
        // The ids of new sessions, and of who chats in them, are each one's own.
        const text = JSON.stringify(answer) ?? "";
        return opened[n].reduce((rest, known, at) => rest.replaceAll(known, `#${at}`), text);
      });
      assert.equal(answers[1], answers[0]);
    }
    for (const each of [app, other]) each.free();
  };
  fc.assert(fc.property(calls, calls, property), { numRuns: 150 });
});

/** A lifetime whose parts, in which last uses are told, are whole seconds. */
const whole = { sessionTtlMs: 256_000 };

/** A state that may be imported. */
const good = () => ({
  version: 1,
  sessions: [{ id: ID, tenantId: "acme", lastUsedMs: START }],
  chats: [{ tenantId: "acme", grantedMs: [START - 1] }],
});

/** The good state with one place changed. */
function changed(path, value) {
  const state = good();
  const parts = path.split(".");
  const last = parts.pop();
  parts.reduce((at, part) => at[part], state)[last] = value;
  return state;
}

test("a good state is taken over", () => {
  const { app } = service(whole);
  assert.deepEqual(app.import(good()), { sessions: 1, skipped: 0 });
  assert.deepEqual(app.export(), good());
  assert.equal(app.usage("acme").limit.remaining, 2);
});

test("a bad state of whatever kind is refused, and nothing has changed", () => {
  const { app } = service();
  const { sessionId } = app.createSession("acme");
  app.chat({ tenantId: "acme", sessionId, message: "x" });
  const before = app.export();
  const [session] = good().sessions;
  const [chats] = good().chats;
  class Sly extends Array {
    map() {
      return [{ id: 1, tenantId: 2, lastUsedMs: 3 }];
    }
  }
  const bad = [
    ...[undefined, null, 1, "{}", true, Symbol("s"), 1n, () => good(), []],
    ...[undefined, 0, 2, "1", null, 1n].map((value) => changed("version", value)),
    ...[undefined, null, {}, "x", { length: 1, 0: session }, [1], [null], [undefined], new Array(3)].flatMap(
      (value) => [changed("sessions", value), changed("chats", value)],
    ),
    ...["", "x", ID.toUpperCase(), `${ID} `, ID.replace("-4", "-1"), 7, null, undefined, {}].map((value) =>
      changed("sessions.0.id", value),
    ),
    ...[null, undefined, 1, {}, ["acme"], new String("acme")].flatMap((value) => [
      changed("sessions.0.tenantId", value),
      changed("chats.0.tenantId", value),
    ]),
    ...[null, undefined, -1, Number.NaN, Infinity, "1", 1n, new Date()].flatMap((value) => [
      changed("sessions.0.lastUsedMs", value),
      changed("chats.0.grantedMs.0", value),
    ]),
    changed("chats.0.grantedMs", new Array(2)),
    changed("chats.0.grantedMs", { 0: START, length: 1 }),
    changed("chats.0.grantedMs", Float64Array.of(START)),
    changed("sessions", [session, { ...session, tenantId: "globex" }]),
    changed("chats", [chats, { ...chats, grantedMs: [] }]),
    changed("sessions", Sly.from([1])),
    changed("sessions", new Array(4_000_000_000)),
  ];
  for (const state of bad) {
    refusal(() => app.import(state), "invalid_state");
    assert.deepEqual(app.export(), before);
  }
  app.chat({ tenantId: "acme", sessionId, message: "x" });
});

test("ended sessions and those of unknown tenants are left out", () => {
  const { app } = service({ sessionTtlMs: 1_000 });
  const session = (n, tenantId, age) => ({
    id: ID.replace("1", n),
    tenantId,
    lastUsedMs: START - age,
  });
  const huge = "x".repeat(1_000_000);
  const sessions = [
    session(1, "acme", 0),
    session(2, "acme", 2_000),
    session(3, "nobody", 0),
    session(4, "\ud800", 0),
    session(5, huge, 0),
    session(6, "globex", -60_000),
  ];
  const chats = ["nobody", huge, "\ud800"].map((tenantId) => ({ tenantId, grantedMs: [START] }));
  assert.deepEqual(app.import({ version: 1, sessions, chats }), { sessions: 2, skipped: 4 });
  assert.deepEqual([app.usage("acme").sessions, app.usage("globex").sessions], [1, 1]);
  assert.deepEqual(app.export().chats, []);
});

test("a state is copied: what happens to it later changes nothing", () => {
  const { app } = service(whole);
  const state = good();
  app.import(state);
  state.sessions[0].tenantId = "globex";
  app.export().sessions.pop();
  assert.deepEqual(app.export(), good());
});

test("clear forgets all", () => {
  const { app } = service();
  app.import(good());
  app.clear();
  assert.deepEqual(app.export(), { version: 1, sessions: [], chats: [] });
  assert.equal(app.usage("acme").limit.remaining, 3);
});
