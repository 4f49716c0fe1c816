// The end of a service, and the memory that it takes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeStorage, Tenantry, knownGoodStory, post, refusal, service } from "./kit.mjs";

test("after free every call says so, and a second free is harmless", async () => {
  const { app } = service({ storage: new FakeStorage() });
  const scope = app.tenant("acme");
  const { sessionId } = scope.createSession();
  const state = app.export();
  app.free();
  app.free();
  const message = "x";
  const calls = [
    () => app.tenants(),
    () => app.tenant("acme"),
    () => app.createSession("acme"),
    () => app.chat({ tenantId: "acme", sessionId, message }),
    () => app.chat({ tenantId: "acme", sessionId, message: "x".repeat(2_000_000) }),
    () => app.usage("acme"),
    () => app.handle({ method: "GET", target: "/" }),
    () => app.handle(post("/session", { tenant_id: "acme" })),
    () => app.subscribe(() => undefined),
    () => app.export(),
    () => app.import(state),
    () => app.clear(),
    () => scope.info(),
    () => scope.createSession(),
    () => scope.chat({ sessionId, message }),
    () => scope.usage(),
    () => scope.subscribe(() => undefined),
  ];
  for (const call of calls) refusal(call, "freed");
  await assert.rejects(app.fetch("/"), { code: "freed" });
});

test("using gives the service back", { skip: Symbol.dispose === undefined }, () => {
  const { app } = service();
  app[Symbol.dispose]();
  refusal(() => app.tenants(), "freed");
});

test("a clock, a source, a storage and a listener may free the service that calls them", () => {
  const frees = (make) => {
    let app;
    let isTime = false;
    const end = () => isTime && app.free();
    app = service(make(end)).app;
    isTime = true;
    return app;
  };
  refusal(() => frees((end) => ({ clock: () => (end(), 1) })).createSession("acme"), "freed");
  refusal(() => frees((end) => ({ random: () => void end() })).createSession("acme"), "freed");
  for (const name of ["getItem", "setItem", "key"]) {
    const app = frees((end) => {
      const storage = new FakeStorage([["other", "x"]]);
      const real = storage[name].bind(storage);
      storage[name] = (...args) => (end(), real(...args));
      return { storage };
    });
    try {
      const { sessionId } = app.createSession("acme");
      app.chat({ tenantId: "acme", sessionId, message: "x" });
    } catch (error) {
      assert.ok(["freed", "storage_failed"].includes(error.code), error.stack);
    }
    refusal(() => app.tenants(), "freed");
  }
  const { app } = service();
  app.subscribe(() => app.free());
  app.createSession("acme");
  refusal(() => app.tenants(), "freed");
  knownGoodStory(service().app);
});

test("services that come and go do not take more and more memory", () => {
  const round = () => {
    for (let n = 0; n < 200; n++) {
      const { app } = service();
      knownGoodStory(app);
      app.free();
    }
  };
  round();
  const before = Tenantry.memoryBytes();
  round();
  assert.equal(Tenantry.memoryBytes(), before);
  assert.equal(before % 65_536, 0);
});

test("a call that finds the stack used up fails alone", () => {
  const { app } = service();
  const { sessionId } = app.createSession("globex");
  let refused = 0;
  const deeper = () => {
    try {
      app.chat({ tenantId: "globex", sessionId, message: "x" });
    } catch (error) {
      assert.ok(error instanceof RangeError, error.stack);
      refused += 1;
    }
    deeper();
  };
  for (let n = 0; n < 3; n++) assert.throws(deeper, RangeError);
  assert.ok(refused > 0);
  knownGoodStory(app);
});
