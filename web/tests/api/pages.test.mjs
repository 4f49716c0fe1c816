// Several pages on one storage.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { FakeStorage, START, TENANTS, Tenantry, TenantryError, manualClock } from "./kit.mjs";

const LIMITS = { acme: 3, tiny: 2, globex: Infinity };

/** One page's view of a storage: what others write shows up when the page looks again. */
class LateView {
  constructor(common) {
    this.common = common;
    this.view = new FakeStorage(common.entries);
  }
  get length() {
    return this.view.length;
  }
  key(index) {
    return this.view.key(index);
  }
  getItem(name) {
    return this.view.getItem(name);
  }
  setItem(name, text) {
    this.view.setItem(name, text);
    this.common.setItem(name, text);
  }
  removeItem(name) {
    this.view.removeItem(name);
    this.common.removeItem(name);
  }
  look() {
    this.view = new FakeStorage(this.common.entries);
  }
}

const page = fc.nat(2);
const step = fc.oneof(
  fc.record({ kind: fc.constant("open"), page, tenantId: fc.constantFrom(...Object.keys(LIMITS)) }),
  fc.record({
    kind: fc.constant("chat"),
    page,
    tenantId: fc.constantFrom("acme", "acme", "tiny", "globex"),
    session: fc.nat(30),
  }),
  fc.record({ kind: fc.constant("wait"), ms: fc.nat(6_000) }),
  fc.record({ kind: fc.constant("reload"), page }),
  fc.record({ kind: fc.constant("look"), page }),
);
const steps = fc.array(step, { minLength: 5, maxLength: 60 });

/**
 * Runs the steps on three pages. Each session must belong to who opened it, on every page
 * that can see it. `isLate` is whether pages see each other's writes only when they look.
 */
function run(steps, isLate) {
  const common = new FakeStorage();
  const clock = manualClock();
  const load = () => {
    const storage = isLate ? new LateView(common) : common;
    return { app: Tenantry.fromJsonl(TENANTS, { clock, storage, sessionTtlMs: 0 }), storage };
  };
  const pages = [load(), load(), load()];
  const opened = [];
  const granted = { acme: [], tiny: [], globex: [] };

  const chat = ({ app, storage }, tenantId, { id, owner }) => {
    const isVisible = storage.getItem(`tenantry:session:${id}`) !== null;
    let code = "granted";
    try {
      app.chat({ tenantId, sessionId: id, message: "x" });
      granted[tenantId].push(clock.now);
    } catch (error) {
      assert.ok(error instanceof TenantryError, error.stack);
      ({ code } = error);
    }
    const may = owner === tenantId ? ["granted", "rate_limited"] : ["wrong_tenant"];
    assert.ok((isVisible ? may : ["unknown_session"]).includes(code), `${code} for ${tenantId}`);
  };

  for (const { kind, page, tenantId, session, ms } of steps) {
    if (kind === "wait") clock.now += ms;
    if (kind === "look") pages[page].storage.look?.();
    if (kind === "reload") {
      pages[page].app.free();
      pages[page] = load();
    }
    if (kind === "open") {
      try {
        const { sessionId } = pages[page].app.createSession(tenantId);
        opened.push({ id: sessionId, owner: tenantId });
      } catch (error) {
        assert.equal(error.code, "too_many_sessions");
        assert.equal(tenantId, "tiny");
      }
    }
    if (kind === "chat" && opened.length > 0) {
      chat(pages[page], tenantId, opened[session % opened.length]);
    }
  }
  // Everybody sees everything, in the end.
  clock.now += 10_000;
  for (const each of pages) {
    each.storage.look?.();
    for (const one of opened) {
      const other = one.owner === "globex" ? "acme" : "globex";
      chat(each, other, one);
      chat(each, one.owner, one);
    }
    for (const id of Object.keys(LIMITS)) {
      const { sessions } = each.app.usage(id);
      assert.equal(sessions, opened.filter(({ owner }) => owner === id).length);
    }
  }
  for (const { app } of pages) app.free();
  return { granted, opened };
}

/** The most of these moments that lie in one span of 10 seconds. */
const most = (moments) =>
  Math.max(0, ...moments.map((from) => moments.filter((at) => at >= from && at < from + 10_000).length));

test("pages on one storage keep each session its tenant's and every limit, however they take turns", () => {
  const property = (all) => {
    const { granted, opened } = run(all, false);
    for (const [id, limit] of Object.entries(LIMITS)) assert.ok(most(granted[id]) <= limit, id);
    assert.ok(opened.filter(({ owner }) => owner === "tiny").length <= 2);
  };
  fc.assert(fc.property(steps, property), { numRuns: 300 });
});

test("pages that see each other's writes late lose no session, and fail at nothing", () => {
  fc.assert(fc.property(steps, (all) => void run(all, true)), { numRuns: 300 });
});

test("a page's chats that another one wrote over come back with its next chat", () => {
  const common = new FakeStorage();
  const clock = manualClock();
  const views = [new LateView(common), new LateView(common)];
  const [one, two] = views.map((storage) => Tenantry.fromJsonl(TENANTS, { clock, storage }));
  const chat = (app, { sessionId }) => app.chat({ tenantId: "acme", sessionId, message: "x" }).limit.remaining;
  const sessions = [one.createSession("acme"), two.createSession("acme")];
  assert.equal(chat(one, sessions[0]), 2);
  assert.equal(chat(two, sessions[1]), 2);
  for (const view of views) view.look();
  assert.equal(chat(one, sessions[0]), 0);
  views[1].look();
  assert.equal(two.usage("acme").limit.remaining, 0);
  assert.equal(clock.now, START);
});
