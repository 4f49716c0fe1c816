import assert from "node:assert/strict";
import test from "node:test";

import type { Answer, Header } from "../src/exchange";
import { left, quota, retryAfterMs, seconds, words } from "../src/limits";

function answer(...headers: Header[]): Answer {
  return { status: 200, headers, body: "" };
}

const POLICY: Header = ["ratelimit-policy", '"chat";q=8;w=10'];

test("headers say what is left", () => {
  const expected = { at: 5, limit: 8, remaining: 7, resetMs: 4000, windowMs: 10_000 };
  assert.deepEqual(quota(answer(["ratelimit", '"chat";r=7;t=4'], POLICY), 5), expected);
  assert.deepEqual(quota(answer(["RateLimit", ' "chat" ; r=7 ; t=4 '], POLICY), 5), expected);
  assert.deepEqual(
    quota(answer(["ratelimit", '"other";r=1;t=1, "chat";t=4;r=7'], POLICY), 5),
    expected,
  );
  const silent = quota(answer(["ratelimit", '"chat";r=7'], POLICY), 5);
  assert.equal(silent?.resetMs, 10_000);
});

test("headers that are absent or of another kind say nothing", () => {
  assert.equal(quota(answer(), 0), undefined);
  assert.equal(quota(answer(["ratelimit", '"chat";r=7;t=4']), 0), undefined);
  assert.equal(quota(answer(POLICY), 0), undefined);
  assert.equal(quota(answer(["ratelimit", '"day";r=7;t=4'], POLICY), 0), undefined);
  assert.equal(quota(answer(["ratelimit", '"chat";r=x;t=4'], POLICY), 0), undefined);
  assert.equal(quota(answer(["ratelimit", "7"], POLICY), 0), undefined);
});

test("a refusal says how long to wait", () => {
  assert.equal(retryAfterMs(answer(["retry-after", "10"])), 10_000);
  assert.equal(retryAfterMs(answer(["retry-after", "Mon, 23 Nov 2026 12:00:00 GMT"])), undefined);
  assert.equal(retryAfterMs(answer()), undefined);
});

test("what is left grows with time, and never shrinks", () => {
  const state = { at: 1000, limit: 8, remaining: 0, resetMs: 4000, windowMs: 10_000 };
  assert.deepEqual(left(state, 1000), { limit: 8, remaining: 0, moreInMs: 4000 });
  assert.deepEqual(left(state, 4999), { limit: 8, remaining: 0, moreInMs: 1 });
  assert.deepEqual(left(state, 5000), { limit: 8, remaining: 1, moreInMs: 6000 });
  assert.deepEqual(left(state, 11_000), { limit: 8, remaining: 8 });
  let before = -1;
  for (let now = 0; now < 12_000; now += 50) {
    const { remaining, moreInMs } = left(state, now);
    assert.ok(remaining >= before);
    assert.equal(
      moreInMs === undefined,
      remaining === 8,
      "something counts down until all is back",
    );
    before = remaining;
  }
});

test("the last missing chat comes back at the reset, and a limit of 0 never does", () => {
  const state = { at: 0, limit: 2, remaining: 1, resetMs: 3000, windowMs: 10_000 };
  assert.deepEqual(left(state, 3000), { limit: 2, remaining: 2 });
  assert.deepEqual(left({ ...state, limit: 0, remaining: 0 }, 0), { limit: 0, remaining: 0 });
});

test("a countdown is in whole seconds, rounded up, and never shows 0", () => {
  assert.deepEqual([9001, 9000, 1001, 1000, 1, 0, -5].map(seconds), [
    "10 s",
    "9 s",
    "2 s",
    "1 s",
    "1 s",
    "1 s",
    "1 s",
  ]);
});

test("the limit as words", () => {
  assert.equal(words({ limit: 8, remaining: 8 }), "8 of 8 left");
  assert.equal(words({ limit: 8, remaining: 3, moreInMs: 3100 }), "3 of 8 left, next in 4 s");
  assert.equal(words({ limit: 8, remaining: 0, moreInMs: 3100 }), "spent, next in 4 s");
  assert.equal(words({ limit: 0, remaining: 0 }), "no chats: the limit is 0");
});
