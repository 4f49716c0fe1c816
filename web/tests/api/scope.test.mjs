// The service as one tenant sees it.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { anything, isCallersOwn, objectOf, withMembers } from "./hostile.mjs";
import { TenantryError, refusal, service } from "./kit.mjs";

test("a scope acts for its tenant", () => {
  const { app } = service();
  const acme = app.tenant("acme");
  assert.equal(acme.id, "acme");
  assert.equal(acme.info().name, "Acme Corp");
  const { sessionId, tenant } = acme.createSession();
  assert.equal(tenant.id, "acme");
  assert.equal(acme.chat({ sessionId, message: "x" }).tenantId, "acme");
  assert.deepEqual(acme.usage(), app.usage("acme"));
  refusal(() => app.tenant("globex").chat({ sessionId, message: "x" }), "wrong_tenant");
});

test("there is a scope for known tenants only", () => {
  const { app } = service();
  for (const id of ["nobody", "", "ACME", "acme ", "__proto__", "\ud800"]) {
    refusal(() => app.tenant(id), "unknown_tenant");
  }
  for (const id of [undefined, null, 1, ["acme"], new String("acme"), { toString: () => "acme" }]) {
    refusal(() => app.tenant(id), "invalid_argument");
  }
});

test("a scope is frozen, and has nothing but its tenant's functions", () => {
  const { app } = service();
  const acme = app.tenant("acme");
  assert.ok(Object.isFrozen(acme));
  assert.deepEqual(Reflect.ownKeys(acme).sort(), ["chat", "createSession", "id", "info", "subscribe", "usage"]);
  assert.equal(Object.getPrototypeOf(acme), Object.prototype);
  for (const change of [() => (acme.id = "globex"), () => delete acme.chat, () => (acme.more = 1)]) {
    assert.throws(change, TypeError);
  }
});

test("a scope's listener hears of its tenant, and never another tenant's session", () => {
  const { app } = service();
  const heard = [];
  const off = app.tenant("globex").subscribe((event) => heard.push(event));
  const foreign = app.createSession("acme").sessionId;
  app.chat({ tenantId: "acme", sessionId: foreign, message: "x" });
  refusal(() => app.createSession("nobody"), "unknown_tenant");
  const { sessionId } = app.createSession("globex");
  app.chat({ tenantId: "globex", sessionId, message: "x" });
  refusal(() => app.chat({ tenantId: "globex", sessionId: foreign, message: "x" }), "wrong_tenant");
  assert.deepEqual(
    heard.map(({ type, tenantId, sessionId: id, code }) => [type, tenantId, id, code]),
    [
      ["session", "globex", sessionId, undefined],
      ["chat", "globex", sessionId, undefined],
      ["refused", "globex", undefined, "wrong_tenant"],
    ],
  );
  assert.ok(heard.every(Object.isFrozen));
  off();
  app.createSession("globex");
  assert.equal(heard.length, 3);
});

/** All texts in a value, however deep. */
function texts(value, found = []) {
  if (typeof value === "string") found.push(value);
  else if (typeof value === "object" && value !== null) {
    for (const name of Reflect.ownKeys(value)) texts(value[name], found);
  }
  return found;
}

test("whatever is called on a scope, with whatever arguments, stays with its tenant", (t) => {
  // Some of the listeners throw.
  globalThis.reportError = () => undefined;
  t.after(() => delete globalThis.reportError);
  const methods = ["info", "createSession", "chat", "usage", "subscribe"];
  const members = ["sessionId", "message", "tenantId", "tenant_id", "session_id", "id", "toJSON", "__proto__"];
  const { app } = service({ maxSessions: 10_000 });
  const globex = app.createSession("globex").sessionId;
  app.chat({ tenantId: "globex", sessionId: globex, message: "x" });
  const acme = app.tenant("acme");
  const own = acme.createSession().sessionId;
  const secrets = [globex, "Globex", "Welcome.", "GLOBEX MOCK"];

  const strangers = [];
  app.subscribe(({ type, tenantId }) => {
    if (tenantId !== undefined && tenantId !== "acme") strangers.push([type, tenantId]);
  });
  const heard = [];
  acme.subscribe((event) => heard.push(event));

  const told = fc.oneof(
    objectOf(...members),
    anything,
    fc.constantFrom(own, globex).chain((sessionId) =>
      objectOf("tenantId", "tenant_id", "id").map((make) => withMembers({ sessionId, message: "x" }, make)),
    ),
  );
  const property = (method, self, args) => {
    const before = JSON.stringify([app.usage("globex"), app.usage("tiny")]);
    let result;
    try {
      result = Reflect.apply(acme[method], self(), args.map((make) => make()));
    } catch (error) {
      assert.ok(error instanceof TenantryError || isCallersOwn(error), `${error?.stack ?? error}`);
      result = error instanceof TenantryError ? { ...error, message: error.message } : undefined;
    }
    if (typeof result === "function") result = result();
    for (const text of texts(result)) {
      // What the caller said itself may come back to it.
      for (const secret of secrets) assert.ok(!text.includes(secret) || text.includes("You said"), text);
    }
    if (result?.tenantId !== undefined) assert.equal(result.tenantId, "acme");
    if (result?.tenant !== undefined) assert.equal(result.tenant.id, "acme");
    assert.equal(JSON.stringify([app.usage("globex"), app.usage("tiny")]), before);
  };
  const selves = fc.oneof(fc.constantFrom(() => app, () => app.tenant("globex"), () => acme), anything);
  const all = fc.property(fc.constantFrom(...methods), selves, fc.array(told, { maxLength: 3 }), property);
  fc.assert(all, { numRuns: 3_000 });

  assert.deepEqual(strangers, []);
  assert.ok(heard.length > 0 && heard.every(({ tenantId }) => tenantId === "acme"));
  assert.ok(!texts(heard).includes(globex));
});

test("what was put on Object.prototype gives a scope no other tenant", () => {
  const { app } = service();
  const acme = app.tenant("acme");
  const toJSON = () => ({ tenant_id: "globex" });
  Object.defineProperty(Object.prototype, "toJSON", { value: toJSON, configurable: true });
  try {
    assert.equal(acme.createSession().tenant.id, "acme");
  } finally {
    delete Object.prototype.toJSON;
  }
  assert.equal(app.usage("globex").sessions, 0);
});
