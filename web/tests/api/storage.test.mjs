// A service that keeps its sessions and chats in a storage.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeStorage, START, jsonOf, names, post, refusal, service } from "./kit.mjs";

const chat = (app, tenantId, sessionId) => app.chat({ tenantId, sessionId, message: "x" });

/** A storage with room for so many characters, as browsers count it. */
class SmallStorage extends FakeStorage {
  room = Infinity;
  get used() {
    return [...this.entries].reduce((sum, [name, text]) => sum + name.length + text.length, 0);
  }
  setItem(name, text) {
    const before = this.entries.has(name) ? name.length + this.entries.get(name).length : 0;
    if (this.used - before + name.length + text.length > this.room) {
      throw new DOMException("full", "QuotaExceededError");
    }
    super.setItem(name, text);
  }
}

test("a page that is loaded again has its sessions and limits", () => {
  const storage = new FakeStorage();
  const { app } = service({ storage });
  const { sessionId } = app.createSession("acme");
  for (let n = 0; n < 3; n++) chat(app, "acme", sessionId);
  app.free();

  const next = service({ storage });
  assert.equal(next.app.usage("acme").sessions, 1);
  assert.equal(next.app.usage("acme").limit.remaining, 0);
  refusal(() => chat(next.app, "acme", sessionId), "rate_limited");
  refusal(() => chat(next.app, "globex", sessionId), "wrong_tenant");
  next.clock.now += 10_000;
  chat(next.app, "acme", sessionId);
});

test("without a storage nothing is kept", () => {
  const { sessionId } = service().app.createSession("acme");
  refusal(() => chat(service().app, "acme", sessionId), "unknown_session");
});

test("a storage that has undefined for what is not there is one, too", () => {
  const storage = new FakeStorage();
  storage.getItem = (name) => storage.entries.get(name);
  const { app } = service({ storage });
  const { sessionId } = app.createSession("acme");
  assert.equal(chat(app, "acme", sessionId).limit.remaining, 2);
});

test("the bound on sessions counts other pages' sessions, and not those that are gone", () => {
  const storage = new FakeStorage();
  const [one, two] = [service({ storage }).app, service({ storage }).app];
  one.createSession("tiny");
  two.createSession("tiny");
  for (const app of [one, two]) {
    refusal(() => app.createSession("tiny"), "too_many_sessions");
    assert.equal(app.usage("tiny").sessions, 2);
    assert.equal(app.export().sessions.length, 2);
  }
  one.clear();
  assert.equal(two.usage("tiny").sessions, 0);
  // As many entries as before, but others.
  one.createSession("tiny");
  assert.equal(two.usage("tiny").sessions, 1);
  one.clear();
  one.createSession("globex");
  assert.deepEqual([two.usage("tiny").sessions, two.usage("globex").sessions], [0, 1]);
});

test("a session that one page uses does not end on the other", () => {
  const storage = new FakeStorage();
  const options = { storage, sessionTtlMs: 1_000 };
  const [one, two] = [service(options), service(options)];
  const { sessionId } = one.app.createSession("globex");
  two.app.usage("globex");
  for (let n = 0; n < 5; n++) {
    one.clock.now = two.clock.now += 600;
    chat(one.app, "globex", sessionId);
  }
  assert.equal(two.app.usage("globex").sessions, 1);
  chat(two.app, "globex", sessionId);
});

test("entries of sessions that have ended are removed", () => {
  const storage = new FakeStorage();
  const { app, clock } = service({ storage, sessionTtlMs: 1_000 });
  app.createSession("acme");
  clock.now += 2_000;
  assert.equal(app.usage("acme").sessions, 0);
  assert.deepEqual(names(storage), []);
});

test("a session for ever is written once", () => {
  const storage = new FakeStorage();
  const { app, clock } = service({ storage, sessionTtlMs: 0 });
  const { sessionId } = app.createSession("globex");
  storage.setItem = () => assert.fail("written again");
  clock.now += 1e9;
  chat(app, "globex", sessionId);
});

test("entries of others stay untouched, and clear removes only ours", () => {
  const others = [
    ["theme", "dark"],
    ["tenantry", "x"],
    ["tenantry:theme", "dark"],
    ["tenantry:session:", "x"],
    ["tenantry:session:notes", "x"],
    ["other:chats:acme", "[]"],
  ];
  const storage = new FakeStorage(others);
  const { app } = service({ storage });
  const { sessionId } = app.createSession("acme");
  chat(app, "acme", sessionId);
  app.import(app.export());
  assert.equal(storage.length, others.length + 2);
  app.clear();
  assert.deepEqual([...storage.entries], others);
  refusal(() => chat(app, "acme", sessionId), "unknown_session");
});

test("services with prefixes of their own share nothing", () => {
  const storage = new FakeStorage();
  const [a, b, none] = ["a:", "b:", ""].map((storagePrefix) => service({ storage, storagePrefix }).app);
  const { sessionId } = a.createSession("tiny");
  chat(a, "tiny", sessionId);
  assert.deepEqual(names(storage), [`a:chats:tiny`, `a:session:${sessionId}`]);
  for (const app of [b, none]) {
    assert.equal(app.usage("tiny").limit.remaining, 2);
    refusal(() => chat(app, "tiny", sessionId), "unknown_session");
    app.clear();
  }
  assert.equal(a.usage("tiny").sessions, 1);
});

test("a corrupt session is an error for who asks for it, and for nobody else", () => {
  const texts = ["", "x", "{}", "[]", "null", "1", '["acme"]', '["acme","1"]', '["acme",-1]', "[1,1]", `["acme",${START},1]`];
  for (const text of texts) {
    const storage = new FakeStorage();
    const { app } = service({ storage });
    const { sessionId } = app.createSession("acme");
    const other = app.createSession("acme").sessionId;
    storage.setItem(`tenantry:session:${sessionId}`, text);
    for (const each of [app, service({ storage }).app]) {
      const error = refusal(() => chat(each, "acme", sessionId), "storage_corrupt");
      assert.equal(error.status, 503);
      assert.ok(error.message.includes(sessionId));
      each.createSession("acme");
    }
    chat(app, "acme", other);
    app.clear();
    refusal(() => chat(app, "acme", sessionId), "unknown_session");
  }
});

test("an entry that gives a session to another tenant is not believed", () => {
  const storage = new FakeStorage();
  const { app } = service({ storage });
  const { sessionId } = app.createSession("acme");
  storage.setItem(`tenantry:session:${sessionId}`, JSON.stringify(["globex", START]));
  for (const id of ["acme", "globex"]) refusal(() => chat(app, id, sessionId), "storage_corrupt");
});

test("a corrupt list of chats is told once, and the tenant goes on", () => {
  for (const text of ["", "x", "{}", "null", "[1]", '[["p"]]', '[["p",1]]', '[["p",["1"]]]', '[["p",[-1]]]', "[[1,[]]]"]) {
    const storage = new FakeStorage();
    const { app } = service({ storage });
    const { sessionId } = app.createSession("acme");
    const other = app.createSession("tiny").sessionId;
    storage.setItem("tenantry:chats:acme", text);
    chat(app, "tiny", other);
    refusal(() => chat(app, "acme", sessionId), "storage_corrupt");
    assert.equal(chat(app, "acme", sessionId).limit.remaining, 2);
  }
});

test("an id that is no id is not looked for in the storage", () => {
  const storage = new FakeStorage([["tenantry:session:x", "secret"]]);
  const { app } = service({ storage });
  for (const id of ["x", "", "__proto__", "../x"]) {
    refusal(() => chat(app, "acme", id), "unknown_session");
  }
});

/** What of a service can be seen: what it would write down, and what a storage holds. */
const seen = (app, storage) => JSON.stringify([app.export(), [...storage.entries].sort()]);

test("a storage that is full at whatever point leaves nothing half done", () => {
  const story = (room) => {
    const storage = new SmallStorage([["other", "x".repeat(20)]]);
    const { app, clock } = service({ storage, sessionTtlMs: 256 * 1_000 });
    const { sessionId } = app.createSession("tiny");
    chat(app, "tiny", sessionId);
    const start = storage.used;
    // From here on there is so much more room. The session is to be written again, too.
    storage.room = start + room;
    clock.now += 2_000;
    const steps = [
      () => void app.createSession("acme"),
      () => void chat(app, "tiny", sessionId),
      () => void app.import({ ...app.export(), chats: [{ tenantId: "acme", grantedMs: [clock.now, clock.now] }] }),
    ];
    let failed = 0;
    for (const step of steps) {
      const before = seen(app, storage);
      try {
        step();
      } catch (error) {
        failed += 1;
        assert.deepEqual([error.code, error.status], ["storage_failed", 503]);
        assert.equal(error.cause.name, "QuotaExceededError");
        // A session that was used is no half of anything.
        const unused = (text) => text.replaceAll(`${START + 2_000}`, `${START}`);
        assert.equal(unused(seen(app, storage)), unused(before));
      }
    }
    assert.equal(storage.getItem("other"), "x".repeat(20));
    storage.room = Infinity;
    app.createSession("acme");
    return { failed, grown: storage.used - start };
  };
  const { grown } = story(1_000);
  let refused = 0;
  for (let room = 0; room <= grown; room++) refused += story(room).failed;
  assert.ok(refused > grown);
  assert.equal(story(grown).failed, 0);
});

test("a storage that takes nothing any more loses nothing of what it has", () => {
  const storage = new SmallStorage();
  const { app, clock } = service({ storage });
  const { sessionId } = app.createSession("tiny");
  chat(app, "tiny", sessionId);
  const before = seen(app, storage);
  storage.setItem = () => {
    throw new Error("no disk");
  };
  const state = { ...app.export(), sessions: [] };
  refusal(() => app.import(state), "storage_failed");
  refusal(() => chat(app, "tiny", sessionId), "storage_failed");
  refusal(() => app.createSession("acme"), "storage_failed");
  assert.equal(seen(app, storage), before);
  const answer = app.handle(post("/session", { tenant_id: "acme" }));
  assert.equal(answer.status, 503);
  assert.deepEqual(jsonOf(answer), { detail: "Service Unavailable" });
  delete storage.setItem;
  // What was granted before the import that failed still counts.
  chat(app, "tiny", sessionId);
  refusal(() => chat(app, "tiny", sessionId), "rate_limited");
  clock.now += 10_000;
  chat(app, "tiny", sessionId);
});

test("whatever a storage fails with, the call fails, and the next one does not", () => {
  for (const name of ["getItem", "key", "removeItem", "setItem", "length"]) {
    const storage = new FakeStorage();
    const { app } = service({ storage });
    const { sessionId } = app.createSession("acme");
    const before = [...storage.entries];
    const thrown = new Error("gone");
    const get = () => {
      throw thrown;
    };
    Object.defineProperty(storage, name, { configurable: true, get });
    const steps = {
      open: () => app.createSession("acme"),
      chat: () => chat(app, "acme", sessionId),
      usage: () => app.usage("acme"),
      load: () => service({ storage }).app.export(),
      clear: () => app.clear(),
    };
    for (const [step, call] of Object.entries(steps)) {
      try {
        call();
        if (step !== "clear") continue;
      } catch (error) {
        if (error.code === "invalid_argument") assert.equal(step, "load");
        else if (error !== thrown) {
          assert.deepEqual([error.code, error.cause], ["storage_failed", thrown], error.stack);
        } else assert.equal(step, "load");
      }
      assert.ok(before.every(([key]) => storage.entries.has(key)) || step === "clear");
    }
    delete storage[name];
    app.createSession("acme");
  }
});

test("a service on a storage that cannot be read does not start", () => {
  const storage = new FakeStorage([["x", "y"]]);
  storage.key = () => {
    throw new DOMException("denied", "SecurityError");
  };
  refusal(() => service({ storage }), "storage_failed");
});
