import assert from "node:assert/strict";
import test from "node:test";

import { home, serverUrl } from "../src/diagnosis";
import { chat, detail, type Exchange, post, text } from "../src/exchange";
import { appended, filled, generated } from "../src/generate";
import { count, lineStart } from "../src/lines";
import { exported, matches, time } from "../src/log";
import { own } from "../src/own";
import { measure, median } from "../src/sampling";

test("a server's URL is what people type", () => {
  assert.equal(serverUrl("127.0.0.1:8001"), "http://127.0.0.1:8001/");
  assert.equal(serverUrl(" https://example.org/chat/?x#y "), "https://example.org/chat/");
  assert.equal(serverUrl("localhost:8001/a//"), "http://localhost:8001/a/");
  for (const bad of ["", " ", "ftp://x", "javascript:alert(1)", "http://u:p@x", "http://", "a b"]) {
    assert.equal(serverUrl(bad), undefined, bad);
  }
});

test("a page below /demo/ came from the server above it", () => {
  assert.equal(home("http://127.0.0.1:8001/demo/"), "http://127.0.0.1:8001/");
  assert.equal(home("https://example.org/t/demo/index.html?x#y"), "https://example.org/t/");
  assert.equal(home("https://example.org/t/"), undefined);
  assert.equal(home("file:///demo/index.html"), undefined);
});

test("error answers become one line", () => {
  const answer = (body: string) => detail({ status: 422, headers: [], body });
  assert.equal(answer('{"detail":"Unknown tenant_id"}'), "Unknown tenant_id");
  const items =
    '{"detail":[{"type":"json_invalid","loc":["body",13],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting value"}},{"loc":["body","message"],"msg":"Field required"}]}';
  assert.equal(
    answer(items),
    "JSON decode error: Expecting value (body.13); Field required (body.message)",
  );
  assert.equal(answer("Internal Server Error"), "Internal Server Error");
});

test("bytes that are no text are shown as such", () => {
  assert.equal(text(Uint8Array.of(0x61, 0xff)), "a\\xff");
  assert.equal(text(new TextEncoder().encode("ü")), "ü");
});

const EXCHANGES: readonly Exchange[] = [
  {
    id: 2,
    at: 1000,
    ms: 3,
    call: chat("globex", "s", "Hi"),
    server: "http://x/",
    failure: "Nothing answers",
  },
  {
    id: 1,
    at: 0,
    ms: 1,
    call: chat("acme", "s", "Hello"),
    answer: { status: 403, headers: [["x-a", "b"]], body: "{}" },
  },
];

test("the log is filtered by tenant, status and text", () => {
  const found = (tenant: string, status: string, words: string) =>
    EXCHANGES.filter((exchange) => matches(exchange, { tenant, status, words })).map(
      ({ id }) => id,
    );
  assert.deepEqual(found("", "", ""), [2, 1]);
  assert.deepEqual(found("acme", "", ""), [1]);
  assert.deepEqual(found("", "4", ""), [1]);
  assert.deepEqual(found("", "none", ""), [2]);
  assert.deepEqual(found("", "", " hello "), [1]);
  assert.deepEqual(found("", "", "X-A: B"), [1]);
  assert.deepEqual(found("", "", "403"), [1]);
  assert.deepEqual(found("acme", "none", ""), []);
});

test("the log is exported oldest first, with everything in it", () => {
  const entries: unknown = JSON.parse(
    exported([
      ...EXCHANGES,
      { ...EXCHANGES[0], id: 3, call: post("/chat", Uint8Array.of(255)) } as Exchange,
    ]),
  );
  assert.ok(Array.isArray(entries));
  const [bytes, first, second] = entries as {
    request: { body: string };
    server: string;
    response?: { status: number };
    failure?: string;
  }[];
  assert.equal(bytes?.request.body, "\\xff");
  assert.deepEqual([first?.server, first?.response?.status], ["this page", 403]);
  assert.deepEqual([second?.server, second?.failure], ["http://x/", "Nothing answers"]);
});

test("times for people", () => {
  assert.deepEqual([0.01, 0.2, 12.4, 1500].map(time), ["< 0.1 ms", "0.2 ms", "12 ms", "1.5 s"]);
});

test("lines are found without splitting the text", () => {
  const sample = "ab\n\ncd";
  assert.deepEqual(["", "a", "a\n", sample].map(count), [1, 1, 2, 3]);
  const part = (line: number) => {
    const { start, end } = lineStart(sample, line);
    return [start, end];
  };
  assert.deepEqual([1, 2, 3, 4].map(part), [
    [0, 2],
    [3, 3],
    [4, 6],
    [6, 6],
  ]);
});

test("a file is filled up with rows that are new to it", () => {
  const start = '{"id":"a","name":"A","welcome":"W"}';
  const once = filled(start, 1, 500);
  assert.equal(once.split("\n").length, 501);
  const again = filled(once, 500, 1000);
  const ids = again
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { id: string }).id);
  assert.equal(new Set(ids).size, 1000);
  assert.equal(filled(start, 1, 1), `${start}\n`);
  assert.deepEqual(generated(7), generated(7));
  assert.equal(appended("a\n", ["b"]), "a\nb\n");
  assert.equal(appended("", ["b"]), "b\n");
});

test("a batch is long enough for a coarse clock", () => {
  const runs: number[] = [];
  const run = (calls: number) => {
    runs.push(calls);
    return calls * 0.004;
  };
  const { us, tenants } = measure({ tenants: 3, run });
  assert.equal(Math.round(us), 4);
  assert.equal(tenants, 3);
  assert.ok((runs.at(-1) ?? 0) * 0.004 >= 5);
});

test("the median is the middle", () => {
  assert.equal(median([]), undefined);
  assert.equal(median([3]), 3);
  assert.equal(median([10, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 10]), 3);
});

test("an id may be the name of something that every object has", () => {
  assert.equal(own({}, "constructor"), undefined);
  assert.equal(own<number>({}, "__proto__"), undefined);
  assert.equal(own(Object.fromEntries([["__proto__", 1]]), "__proto__"), 1);
});
