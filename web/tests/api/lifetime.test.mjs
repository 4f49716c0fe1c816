// The end of a service, and the memory that it takes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeStorage, TENANTS, Tenantry, knownGoodStory, post, refusal, service } from "./kit.mjs";

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

/** Calls that need the most of the stack, each in its own way. */
const DEEP = {
  "a chat": (app) => {
    const { sessionId } = app.createSession("globex");
    return () => app.chat({ tenantId: "globex", sessionId, message: "x" });
  },
  "an echo of nested values": (app) => {
    const body = `{"x":${'[{"a":'.repeat(60)}1${"}]".repeat(60)}}`;
    return () => app.handle({ method: "POST", target: "/chat", body });
  },
  "floats that are hard to read": (app) => {
    const body = `{"x":[9007199254740993.${"0".repeat(900)}1,1.5e-310,2.4703282292062327208e-324]}`;
    return () => app.handle({ method: "POST", target: "/chat", body });
  },
  "a text of tenants": () => () => Tenantry.check(`${TENANTS}{"id":${"[".repeat(100)}`),
  "a service": () => () => Tenantry.fromJsonl(TENANTS).free(),
  "an export": (app) => () => app.export(),
};

for (const [name, make] of Object.entries(DEEP)) {
  test(`a call that finds the stack used up fails alone: ${name}`, () => {
    const { app } = service();
    const call = make(app);
    let refused = 0;
    const deeper = () => {
      try {
        call();
      } catch (error) {
        assert.ok(error instanceof RangeError, error.stack);
        refused += 1;
      }
      deeper();
    };
    // From several heights, so that the end is met at different places.
    const from = (height) => (height === 0 ? deeper() : from(height - 1));
    for (let height = 0; height < 8; height++) assert.throws(() => from(height), RangeError);
    assert.ok(refused > 0);
    call();
    knownGoodStory(app);
  });
}
