// What listeners hear.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { START, post, refusal, service } from "./kit.mjs";

afterEach(() => delete globalThis.reportError);

/** Takes what is reported instead of the platform. */
function reports() {
  const errors = [];
  globalThis.reportError = (error) => void errors.push(error);
  return errors;
}

test("each kind of event has its fields", () => {
  const { app } = service();
  const events = [];
  app.subscribe((event) => events.push(event));
  const { sessionId } = app.createSession("tiny");
  const chat = () => app.chat({ tenantId: "tiny", sessionId, message: "x" });
  chat();
  chat();
  refusal(chat, "rate_limited");
  refusal(() => app.createSession("nobody"), "unknown_tenant");
  app.handle({ method: "GET", target: "/" });
  app.handle({ method: "GET", target: "/nope" });

  const base = { at: START, code: undefined, retryAfterMs: undefined, limit: undefined };
  const tiny = { ...base, tenantId: "tiny", sessionId };
  const limit = (remaining) => ({ limit: 2, remaining, resetMs: 10_000, windowMs: 10_000 });
  const spent = { code: "rate_limited", retryAfterMs: 10_000 };
  const unknown = { ...base, tenantId: undefined, sessionId: undefined };
  assert.deepEqual(events, [
    { ...tiny, type: "session", status: 200 },
    { ...tiny, type: "chat", status: 200, limit: limit(1) },
    { ...tiny, type: "chat", status: 200, limit: limit(0) },
    { ...tiny, type: "limited", status: 429, limit: limit(0), ...spent },
    { ...unknown, type: "refused", status: 404, tenantId: "nobody", code: "unknown_tenant" },
    { ...unknown, type: "refused", status: 404, code: "not_found" },
  ]);
});

test("a body that is too long is refused for all ways in alike", async () => {
  const { app } = service({ maxBodyBytes: 100 });
  const events = [];
  app.subscribe(({ type, status, code }) => events.push([type, status, code]));
  const message = "x".repeat(100);
  refusal(() => app.chat({ tenantId: "acme", sessionId: "x", message }), "body_too_large");
  app.handle(post("/chat", { message }));
  await app.fetch("/chat", { method: "POST", body: message + message });
  assert.deepEqual(events, Array(3).fill(["refused", 413, "body_too_large"]));
});

test("what a listener throws is reported, and disturbs nobody", () => {
  const errors = reports();
  const { app } = service();
  const heard = [];
  app.subscribe(() => {
    throw new Error("mine");
  });
  app.subscribe(({ type }) => heard.push(type));
  app.createSession("acme");
  app.createSession("acme");
  assert.deepEqual(heard, ["session", "session"]);
  assert.deepEqual(errors.map(({ message }) => message), ["mine", "mine"]);
});

test("no listener can change what another one hears, or what the caller gets", () => {
  const errors = reports();
  const { app } = service();
  const { sessionId } = app.createSession("acme");
  app.subscribe((event) => {
    event.limit.remaining = 99;
  });
  app.subscribe((event) => {
    event.tenantId = "globex";
  });
  let heard;
  app.subscribe((event) => (heard = event));
  const { limit } = app.chat({ tenantId: "acme", sessionId, message: "x" });
  assert.deepEqual([heard.tenantId, heard.limit.remaining, limit.remaining], ["acme", 2, 2]);
  assert.ok(errors.every((error) => error instanceof TypeError) && errors.length === 2);
});

test("a listener may call back into the service", () => {
  const { app } = service();
  const replies = [];
  app.subscribe(({ type, tenantId, sessionId }) => {
    if (type !== "session") return;
    replies.push(app.chat({ tenantId, sessionId, message: "hi" }).reply);
    app.import(app.export());
  });
  app.createSession("globex");
  app.createSession("globex");
  assert.deepEqual(replies, Array(2).fill("Welcome. [GLOBEX MOCK] Echo: HI"));
  assert.equal(app.usage("globex").sessions, 2);
});

test("a listener that calls itself without end is stopped by the platform, and reported", () => {
  const errors = reports();
  const { app } = service();
  app.subscribe(() => app.createSession("globex"));
  app.createSession("globex");
  assert.ok(errors.some((error) => error instanceof RangeError));
  assert.ok(app.usage("globex").sessions > 1);
});

test("who is taken off hears no more, whoever does it and when", () => {
  const { app } = service();
  const heard = [];
  const off = [];
  const listen = (name, then = () => undefined) => {
    off.push(
      app.subscribe(() => {
        heard.push(name);
        then();
      }),
    );
  };
  listen("a", () => off[0]());
  listen("b", () => off[2]());
  listen("c");
  listen("d", () => off.length === 4 && listen("e"));
  app.createSession("globex");
  assert.deepEqual(heard.splice(0), ["a", "b", "d"]);
  app.createSession("globex");
  assert.deepEqual(heard.splice(0), ["b", "d", "e"]);
  for (const stop of [...off, ...off]) stop();
  app.createSession("globex");
  assert.deepEqual(heard, []);
});

test("one listener that is added twice hears twice, and is taken off once each", () => {
  const { app } = service();
  let heard = 0;
  const listener = () => (heard += 1);
  const off = [app.subscribe(listener), app.subscribe(listener)];
  app.createSession("globex");
  off[0]();
  off[0]();
  app.createSession("globex");
  assert.equal(heard, 3);
});

test("what is no function cannot listen", () => {
  const { app } = service();
  for (const value of [undefined, null, {}, "f", 1, { handleEvent() {} }]) {
    refusal(() => app.subscribe(value), "invalid_argument");
    refusal(() => app.tenant("acme").subscribe(value), "invalid_argument");
  }
});
