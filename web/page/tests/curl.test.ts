import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import { curl, LOCAL, quoted } from "../src/curl";
import { type Call, chat, listTenants, post } from "../src/exchange";

/** What the shell hands to curl: its arguments, and what comes in by the pipe. */
function ran(call: Call, base?: string): { args: string[]; input: Buffer } {
  const script = `curl() { printf '%s\\0' "$@"; case "$*" in *@-) printf 'INPUT\\0'; cat;; esac; }\n`;
  const out = execFileSync("sh", ["-s"], { input: script + curl(call, base), maxBuffer: 1 << 26 });
  const at = out.indexOf("INPUT\0");
  const args = (at === -1 ? out : out.subarray(0, at)).toString().split("\0").slice(0, -1);
  return { args, input: at === -1 ? Buffer.alloc(0) : out.subarray(at + 6) };
}

const HEADER = ["-H", "content-type: application/json"];

test("a shell hands any message to curl as it is", () => {
  const messages = [
    "hello",
    "it's 'quoted' \"twice\"",
    "$HOME `id` $(id) \\ \\n ! # ; & | > < * ? ~ {a,b}",
    "two\nlines\tand a tab",
    "@file",
    "%s %% \\x41",
    "ünïcödé 😀",
    "\ud800",
    "",
  ];
  for (const message of messages) {
    const call = chat("acme", "s", message);
    const { args } = ran(call);
    assert.deepEqual(args, ["-i", `${LOCAL}chat`, ...HEADER, "--data-raw", call.body]);
  }
});

test("a raw body may hold line breaks and quotes", () => {
  const { args } = ran(post("/session", "{'\n\n'}\n"));
  assert.equal(args.at(-1), "{'\n\n'}\n");
});

test("bytes that are no text go through a pipe", () => {
  const body = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const { args, input } = ran(post("/session", body));
  assert.deepEqual(args.slice(-2), ["--data-binary", "@-"]);
  assert.deepEqual([...input], [...body]);
});

test("a body that is too long for an argument goes through a pipe", () => {
  const body = "'%\\".repeat(100_000);
  const { args, input } = ran(post("/chat", body));
  assert.deepEqual(args.slice(-2), ["--data-binary", "@-"]);
  assert.equal(input.toString(), body);
});

test("a call without a body is a GET of the server's URL", () => {
  assert.equal(
    curl(listTenants, "https://example.org/t's/"),
    "curl -i 'https://example.org/t'\\''s/'",
  );
  assert.deepEqual(ran(listTenants, "https://example.org/t's/").args, [
    "-i",
    "https://example.org/t's/",
  ]);
});

test("a word is quoted as a whole", () => {
  assert.equal(quoted("a'b"), "'a'\\''b'");
  assert.equal(quoted(""), "''");
});
