// Whatever is passed in: what is thrown, and that the service goes on.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import fc from "fast-check";

import { anything, isCallersOwn, objectOf, withMembers } from "./hostile.mjs";
import { FakeStorage, TENANTS, Tenantry, TenantryError, knownGoodStory, refusal, service } from "./kit.mjs";

let unhandled;
const count = () => (unhandled += 1);
beforeEach(() => {
  unhandled = 0;
  process.on("unhandledRejection", count);
});
afterEach(() => {
  process.off("unhandledRejection", count);
  assert.equal(unhandled, 0);
});

/** A value by itself, or an object with members of these names. */
const like = (...names) => fc.oneof(anything, objectOf(...names));

const requests = like("tenantId", "sessionId", "message");
const http = like("method", "target", "headers", "body");
const goodHttp = objectOf("headers", "body").map((make) =>
  withMembers({ method: "POST", target: "/chat" }, make),
);
/** A function that makes a good state but for one of its lists. */
const statesOf = (name, ...members) =>
  fc.array(like(...members)).map((makers) => () => ({
    version: 1,
    sessions: [],
    chats: [],
    [name]: makers.map((make) => make()),
  }));
const states = fc.oneof(
  like("version", "sessions", "chats"),
  statesOf("sessions", "id", "tenantId", "lastUsedMs"),
  statesOf("chats", "tenantId", "grantedMs"),
);
const options = like("limits", "sessionTtlMs", "maxSessions", "maxBodyBytes", "storagePrefix");

/** Every public function, and what is passed to it. */
const FUNCTIONS = {
  createSession: [anything, (app, value) => app.createSession(value)],
  chat: [requests, (app, value) => app.chat(value)],
  usage: [anything, (app, value) => app.usage(value)],
  tenant: [anything, (app, value) => app.tenant(value)],
  handle: [http, (app, value) => app.handle(value)],
  "handle with a good method and target": [goodHttp, (app, value) => app.handle(value)],
  subscribe: [anything, (app, value) => app.subscribe(value)()],
  import: [states, (app, value) => app.import(value)],
  "a scope's chat": [requests, (app, value) => app.tenant("globex").chat(value)],
  "a scope's subscribe": [anything, (app, value) => app.tenant("globex").subscribe(value)()],
  fromJsonl: [anything, (_, value) => Tenantry.fromJsonl(value).free()],
  options: [options, (_, value) => Tenantry.fromJsonl(TENANTS, value).free()],
  check: [anything, (_, value) => Tenantry.check(value)],
};

const { app } = service();

for (const [name, [values, call]] of Object.entries(FUNCTIONS)) {
  test(`${name}: anything is answered, refused, or its own fault`, () => {
    const property = (make) => {
      try {
        call(app, make());
      } catch (error) {
        const isFine = error instanceof TenantryError || isCallersOwn(error);
        assert.ok(isFine, `${error?.stack ?? error}`);
        assert.notEqual(error.code, "internal");
      }
      knownGoodStory(app);
    };
    fc.assert(fc.property(values, property), { numRuns: 600 });
  });
}

test("fetch: anything is answered or refused as the platform does", async () => {
  const property = async (input, init) => {
    try {
      await app.fetch(input(), init());
    } catch (error) {
      // `Request` itself throws TypeErrors, and RangeErrors for some of its members.
      const isPlatforms = error instanceof TypeError || error instanceof RangeError;
      assert.ok(isPlatforms || error instanceof TenantryError || isCallersOwn(error), `${error?.stack ?? error}`);
    }
    knownGoodStory(app);
  };
  const inits = like("method", "headers", "body", "signal");
  const inputs = fc.oneof(fc.constant(() => "/chat"), anything);
  await fc.assert(fc.asyncProperty(inputs, inits, property), { numRuns: 600 });
});

test("a storage may do and return anything", () => {
  const property = (values) => {
    let turn = 0;
    const next = () => values[turn++ % values.length]();
    const storage = new Proxy(new FakeStorage(), {
      get: (target, name) => {
        if (name === "length") return 1;
        const real = target[name];
        return typeof real === "function" ? () => next() : real;
      },
    });
    try {
      const mine = Tenantry.fromJsonl(TENANTS, { storage });
      try {
        knownGoodStory(mine);
      } finally {
        mine.free();
      }
    } catch (error) {
      assert.match(error.code, /^(storage_failed|storage_corrupt|unknown_session)$/, error.stack);
    }
    knownGoodStory(app);
  };
  const texts = fc.constantFrom("[]", '["globex",1]', "[[]]", "tenantry:session:abcdef01-0000-4000-8000-000000000000").map(
    (text) => () => text,
  );
  fc.assert(fc.property(fc.array(fc.oneof(anything, texts), { minLength: 1 }), property), { numRuns: 600 });
});

test("what was put on Object.prototype changes no request", () => {
  const names = { toJSON: () => ({ tenant_id: "acme" }), tenant_id: "acme", tenantId: "acme", problems: [1], body: "x" };
  for (const [name, value] of Object.entries(names)) {
    Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true });
    try {
      assert.equal(app.createSession("globex").tenant.id, "globex");
      knownGoodStory(app);
      refusal(() => app.createSession("nobody"), "unknown_tenant");
    } finally {
      delete Object.prototype[name];
    }
  }
});

test("texts of 300 MB are refused, and the memory that they take is not kept", () => {
  const { sessionId } = app.createSession("globex");
  const huge = "ä".repeat(300_000_000);
  const before = Tenantry.memoryBytes();
  refusal(() => app.chat({ tenantId: "globex", sessionId, message: huge }), "body_too_large");
  refusal(() => app.createSession(huge), "body_too_large");
  for (const call of [() => app.usage(huge), () => app.tenant(huge)]) refusal(call, "unknown_tenant");
  for (const text of [huge, new Uint8Array(300_000_000)]) {
    assert.equal(app.handle({ method: "POST", target: "/chat", body: text }).status, 413);
    refusal(() => Tenantry.check(text), "invalid_argument");
    refusal(() => Tenantry.fromJsonl(text), "invalid_argument");
  }
  for (const name of ["method", "target"]) {
    refusal(() => app.handle({ method: "GET", target: "/", [name]: huge }), "invalid_argument");
  }
  assert.equal(Tenantry.memoryBytes(), before);
  knownGoodStory(app);
});

test("a shared buffer that changes while it is read is read once", () => {
  const text = (id) => new TextEncoder().encode(JSON.stringify({ tenant_id: id }).padEnd(30));
  const body = new Uint8Array(new SharedArrayBuffer(30));
  body.set(text("acme"));
  const storage = new FakeStorage();
  const each = service({ storage }).app;
  const length = Object.getOwnPropertyDescriptor(FakeStorage.prototype, "length").get;
  // A request's tenant is looked at before the storage is, and again after it.
  Object.defineProperty(storage, "length", {
    get() {
      body.set(text("globex"));
      return length.call(this);
    },
  });
  each.handle({ method: "POST", target: "/session", body });
  assert.deepEqual([each.usage("acme").sessions, each.usage("globex").sessions], [1, 0]);
});

test("the largest bodies that an option allows are answered", () => {
  const most = 64 * 1024 * 1024;
  const each = service({ maxBodyBytes: most }).app;
  const { sessionId } = each.createSession("globex");
  // Capitals of this letter take three times its bytes.
  const message = "ΐ".repeat(most / 2 - 100);
  const { reply } = each.chat({ tenantId: "globex", sessionId, message });
  assert.ok(reply.length > message.length * 2);
  const open = "[".repeat(100);
  for (const body of [`[${"0,".repeat(most / 2 - 1)}0`, `[${"[],".repeat(most / 3 - 1)}0]`, open]) {
    assert.equal(each.handle({ method: "POST", target: "/chat", body }).status, 422);
  }
  each.free();
  knownGoodStory(app);
});
