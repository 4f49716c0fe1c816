// The HTTP contract in process: `handle` and `fetch`.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { TENANTS, Tenantry, countedRandom, jsonOf, manualClock, post, refusal, service } from "./kit.mjs";

const body = '{"tenant_id":"acme"}';

/** A stream of these chunks, and what was asked of it. */
function source(chunks, { end = true } = {}) {
  const seen = { pulled: 0, cancelled: undefined };
  const stream = new ReadableStream(
    {
      pull(controller) {
        const chunk = chunks[seen.pulled];
        seen.pulled += 1;
        if (chunk instanceof Error) controller.error(chunk);
        else if (chunk !== undefined) controller.enqueue(chunk);
        else if (end) controller.close();
        else return new Promise(() => undefined);
      },
      cancel(reason) {
        seen.cancelled = { reason };
        // A source that never says that it has stopped.
        return new Promise(() => undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return { seen, stream };
}

const posted = (stream, more) => ({ method: "POST", body: stream, duplex: "half", ...more });

test("handle takes text and bytes, and gives bytes", () => {
  const { app } = service();
  const bytes = new TextEncoder().encode(`##${body}##`);
  const inner = bytes.slice(2, -2);
  const shared = new Uint8Array(new SharedArrayBuffer(inner.length));
  shared.set(inner);
  for (const form of [
    body,
    inner,
    inner.buffer,
    bytes.subarray(2, -2),
    new DataView(bytes.buffer, 2, inner.length),
    new Uint16Array(inner.buffer),
    Buffer.from(body),
    shared,
    shared.buffer,
  ]) {
    const answer = app.handle({ method: "POST", target: "/session", body: form });
    assert.equal(answer.status, 200);
    assert.ok(answer.body instanceof Uint8Array);
    assert.equal(jsonOf(answer).tenant.id, "acme");
  }
});

test("the first content type counts, in whatever form headers come", () => {
  const { app } = service();
  const status = (headers) => app.handle({ method: "POST", target: "/session", headers, body }).status;
  const wrong = ["Content-Type", "text/plain"];
  const right = ["content-TYPE", "application/json"];
  for (const form of [(...all) => all, (...all) => new Map(all), (...all) => Object.fromEntries(all)]) {
    assert.equal(status(form(wrong)), 422);
    assert.equal(status(form(right)), 200);
    assert.equal(status(form(right, wrong)), 200);
    assert.equal(status(form(wrong, right)), 422);
  }
  assert.equal(status(new Headers([wrong])), 422);
  assert.equal(status({ "content-type": "application/\xe4+json" }), 200);
  assert.equal(status(undefined), 200);
});

test("HEAD is answered as GET without the body", async () => {
  const { app } = service();
  const get = app.handle({ method: "GET", target: "/" });
  const head = app.handle({ method: "HEAD", target: "/" });
  assert.deepEqual(head.headers, get.headers);
  assert.equal(head.body.length, 0);
  const answer = await app.fetch("/", { method: "HEAD" });
  assert.equal(answer.headers.get("content-length"), String(get.body.length));
  assert.equal(await answer.text(), "");
});

test("fetch takes relative and absolute addresses, URLs and Requests", async () => {
  const { app } = service();
  const absolute = "https://example.org/session?x=1";
  const init = { method: "POST", body, headers: { "content-type": "application/json" } };
  for (const input of ["/session", "session", absolute, new URL(absolute), new Request(absolute, init)]) {
    const answer = await app.fetch(input, init);
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).tenant.name, "Acme Corp");
  }
  const redirect = await app.fetch("/chat/?x=1", { method: "POST" });
  assert.deepEqual([redirect.status, redirect.headers.get("location")], [307, "/chat?x=1"]);
  await assert.rejects(app.fetch("http://"), TypeError);
  await assert.rejects(app.fetch("/", { method: "CONNECT" }), TypeError);
});

test("fetch reads streams, chunk by chunk", async () => {
  const { app } = service();
  const { stream } = source([...new TextEncoder().encode(body)].map((byte) => Uint8Array.of(byte)));
  assert.equal((await app.fetch("/session", posted(stream))).status, 200);
});

test("fetch reads bodies where requests show no stream", async () => {
  const { app } = service();
  const real = Object.getOwnPropertyDescriptor(Request.prototype, "body");
  Object.defineProperty(Request.prototype, "body", { configurable: true, get: () => undefined });
  try {
    const headers = { "content-type": "application/json" };
    assert.equal((await app.fetch("/session", { method: "POST", body, headers })).status, 200);
  } finally {
    Object.defineProperty(Request.prototype, "body", real);
  }
});

test("a body over the limit is 413, without being read to its end", async () => {
  const { app } = service({ maxBodyBytes: 100 });
  const { seen, stream } = source(Array(1_000).fill(new Uint8Array(40)));
  assert.equal((await app.fetch("/session", posted(stream))).status, 413);
  assert.equal(seen.pulled, 3);
  assert.deepEqual(seen.cancelled, { reason: undefined });
  const exact = body.padEnd(100);
  assert.equal(app.handle({ method: "POST", target: "/session", body: exact }).status, 200);
  assert.equal(app.handle({ method: "POST", target: "/session", body: `${exact} ` }).status, 413);
  assert.equal(app.handle({ method: "POST", target: "/session", body: "ä".repeat(51) }).status, 413);
});

test("a body that does not matter is not read", async () => {
  const { app } = service({ maxBodyBytes: 10 });
  const { seen, stream } = source([new Uint8Array(40)]);
  assert.equal((await app.fetch("/nope", posted(stream))).status, 404);
  assert.equal(seen.pulled, 0);
  const long = "x".repeat(1_000);
  assert.equal(app.handle({ method: "GET", target: "/", body: long }).status, 200);
});

test("what a stream fails with comes out, and what it gives must be bytes", async () => {
  const { app } = service();
  const broken = new Error("broken");
  await assert.rejects(app.fetch("/session", posted(source([new Uint8Array(1), broken]).stream)), broken);
  for (const chunk of ["text", 1, {}, [1]]) {
    const { seen, stream } = source([chunk]);
    await assert.rejects(app.fetch("/session", posted(stream)), { code: "invalid_argument" });
    assert.ok(seen.cancelled);
  }
  assert.equal(app.usage("acme").sessions, 0);
});

test("an aborted request is not answered, whenever it is aborted", async () => {
  const { app } = service();
  const reason = new Error("enough");
  const aborted = AbortSignal.abort(reason);
  await assert.rejects(app.fetch("/session", { method: "POST", body, signal: aborted }), (e) => e === reason);

  const controller = new AbortController();
  const { stream } = source([new TextEncoder().encode(body)], { end: false });
  const answer = app.fetch("/session", posted(stream, { signal: controller.signal }));
  controller.abort(reason);
  await assert.rejects(answer, (error) => error === reason);
  assert.equal(app.usage("acme").sessions, 0);
});

const targets = fc.oneof(
  fc.constantFrom("/", "/session", "/chat", "/chat/?q=ä", "/docs", "/openapi.json", "//", "*", "", "/%73ession", "/%"),
  fc.string({ unit: "binary" }),
  fc.webPath(),
);
const methods = fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X");
const bodies = fc.oneof(
  fc.constantFrom(body, '{"tenant_id":"nobody"}', "null", "{", "\ufeff{}", '{"tenant_id":"acme","session_id":"x","message":""}'),
  fc.json(),
  fc.string({ unit: "binary" }),
  fc.uint8Array(),
);
const types = fc.oneof(
  fc.constantFrom("application/json", "application/x+json; a=b", "text/plain", ""),
  fc.string({ unit: "grapheme-ascii" }),
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
);

test("handle answers whatever it is sent, and never with a fault of its own", () => {
  const { app } = service();
  const headers = fc.array(fc.tuple(fc.oneof(fc.constant("content-type"), fc.string()), types));
  const anyMethod = fc.oneof(methods, fc.string({ unit: "binary" }), fc.constant("\ud800"));
  const property = fc.property(anyMethod, targets, headers, bodies, (method, target, headers, body) => {
    const { status, headers: told, body: bytes } = app.handle({ method, target, headers, body });
    assert.ok(status >= 200 && status < 500, `${status}`);
    const length = Number(told.find(([name]) => name === "content-length")[1]);
    assert.ok(bytes.length === length || method === "HEAD");
  });
  fc.assert(property, { numRuns: 3_000 });
});

test("fetch answers as handle does", async () => {
  const options = () => ({ clock: manualClock(), random: countedRandom() });
  const property = fc.asyncProperty(methods, targets, types, bodies, async (method, path, type, body) => {
    const apps = [0, 1].map(() => Tenantry.fromJsonl(TENANTS, options()));
    const init = { method, body: ["GET", "HEAD"].includes(method) ? undefined : body };
    let request;
    try {
      request = new Request(new URL(path, "http://localhost/"), {
        ...init,
        headers: { "content-type": type },
      });
    } catch {
      return; // No request of the platform.
    }
    const { pathname, search } = new URL(request.url);
    const answer = await apps[1].fetch(request);
    const { status, headers, body: bytes } = apps[0].handle({
      ...init,
      target: pathname + search,
      headers: request.headers,
    });
    assert.equal(answer.status, status);
    assert.deepEqual([...answer.headers], [...new Headers(headers)]);
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), bytes);
    for (const app of apps) app.free();
  });
  await fc.assert(property, { numRuns: 400 });
});

test("what is no request is refused, and what is too long for a head", () => {
  const { app } = service();
  const get = { method: "GET", target: "/" };
  const long = "x".repeat(65_537);
  const bad = [
    ...[undefined, null, 1, "GET /", () => get],
    { ...get, method: 1 },
    { ...get, target: new URL("http://localhost/") },
    ...[null, 1, "a: b", [1], [["a"]], [["a", 1]], { a: 1 }, { [Symbol.iterator]: 1 }].map((headers) => ({ ...get, headers })),
    { ...get, headers: { "content-type": "\u0100" } },
    ...[null, 1, {}, [1], Object.create(ArrayBuffer.prototype)].map((body) => ({ ...get, body })),
    { ...get, method: long },
    { ...get, target: long },
    { ...get, headers: { "content-type": long } },
  ];
  for (const request of bad) refusal(() => app.handle(request), "invalid_argument");
});

test("a request is read once, before the service's state is looked at", () => {
  const { app } = service();
  const bytes = new TextEncoder().encode(body);
  const reads = [];
  const request = new Proxy(
    { ...post("/session"), body: bytes },
    { get: (target, name) => (reads.push(name), Reflect.get(target, name)) },
  );
  assert.equal(app.handle(request).status, 200);
  assert.deepEqual(reads.sort(), ["body", "headers", "method", "target"]);
});
