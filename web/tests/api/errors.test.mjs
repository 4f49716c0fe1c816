// Errors, and what is wrong with a text of tenants.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { TENANTS, Tenantry, TenantryError, post, refusal, service } from "./kit.mjs";

const repository = new URL("../../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, repository), "utf8");

/** The rows of the table "Errors": `[status, text]`, and the text `[...]` for a list. */
function documentedErrors() {
  const [, section] = read("docs/http.md").split(/^## Errors$/m);
  const [table] = section.split(/^One answer names/m);
  return [...table.matchAll(/^\| (\d{3}) \| `([^`]+)`/gm)].map(([, status, body]) => {
    const detail = /^\{"detail":"(.*)"\}$/.exec(body);
    return [Number(status), detail ? detail[1] : body];
  });
}

/** An app and a call that is answered with each error that the package itself can give. */
const CAUSES = {
  invalid_body: ({ app }) => app.handle({ ...post("/chat"), body: new Uint8Array([0xff]) }),
  wrong_tenant: ({ app }) => {
    const { sessionId: session_id } = app.createSession("acme");
    return app.handle(post("/chat", { tenant_id: "globex", session_id, message: "x" }));
  },
  not_found: ({ app }) => app.handle({ method: "GET", target: "/nope" }),
  unknown_tenant: ({ app }) => app.handle(post("/session", { tenant_id: "nobody" })),
  unknown_session: ({ app }) =>
    app.handle(post("/chat", { tenant_id: "acme", session_id: "x", message: "x" })),
  method_not_allowed: ({ app }) => app.handle({ method: "GET", target: "/chat" }),
  body_too_large: ({ app }) => app.handle(post("/chat", "x".repeat(1024 * 1024))),
  invalid_request: ({ app }) => app.handle(post("/chat", {})),
  rate_limited: ({ app }) => {
    const { sessionId: session_id } = app.createSession("tiny");
    const chat = () => app.handle(post("/chat", { tenant_id: "tiny", session_id, message: "x" }));
    return [chat(), chat(), chat()].at(-1);
  },
  too_many_sessions: ({ app }) => {
    const open = () => app.handle(post("/session", { tenant_id: "tiny" }));
    return [open(), open(), open()].at(-1);
  },
  internal: () => {
    const { app } = service({ random: () => undefined });
    app.createSession("acme");
    const codes = [];
    app.subscribe(({ code }) => codes.push(code));
    const answer = app.handle(post("/session", { tenant_id: "acme" }));
    return { ...answer, code: codes[0] };
  },
};

test("each error of the document has a code of its own, which its cause gives", () => {
  // A body that is too slow is the transport's: here, whoever gives the body decides how long
  // it may take, with an `AbortSignal`. What is out of reach can only be a storage, whose
  // codes say more: the tests of the storage are about these. And only who runs a server
  // suspends tenants.
  const elsewhere = [
    "403 Tenant is suspended",
    "400 Host header is missing",
    "400 Transfer-Encoding is not chunked once",
    "408 Request body too slow",
    "503 Service Unavailable",
  ];
  const wanted = documentedErrors().map((row) => row.join(" ")).filter((row) => !elsewhere.includes(row));
  assert.ok(wanted.length > 8, "the table was not found");

  const found = Object.entries(CAUSES).map(([code, cause]) => {
    const { app } = service();
    let told;
    app.subscribe((event) => (told = event.code));
    const answer = cause({ app });
    assert.equal(answer.code ?? told, code);
    const text = new TextDecoder().decode(answer.body);
    const detail = text.startsWith("{") ? JSON.parse(text).detail : text;
    return `${answer.status} ${typeof detail === "string" ? detail : '{"detail":[...]}'}`;
  });
  assert.deepEqual(found.sort(), wanted.sort());
});

test("an answer without a body has its code, too", () => {
  const { app } = service();
  const codes = [];
  app.subscribe(({ code }) => codes.push(code));
  for (const target of ["/nope", "/chat"]) {
    assert.equal(app.handle({ method: "HEAD", target }).body.length, 0);
  }
  assert.deepEqual(codes, ["not_found", "method_not_allowed"]);
});

test("an error is an Error, with all that the answer says", () => {
  const { app } = service();
  const error = refusal(() => app.createSession("nobody"), "unknown_tenant");
  assert.ok(error instanceof Error);
  assert.equal(error.name, "TenantryError");
  assert.equal(error.status, 404);
  assert.equal(error.detail, "Unknown tenant_id");
  assert.equal(error.message, "Unknown tenant_id (404)");
  assert.equal(error.retryAfterMs, undefined);
  assert.deepEqual(error.problems, []);
});

test("half of a surrogate pair is refused, with the items of the contract", () => {
  const { app } = service();
  const { sessionId } = app.createSession("acme");
  const say = () => app.chat({ tenantId: "acme", sessionId, message: "\ud83d" });
  const error = refusal(say, "invalid_request");
  assert.equal(error.status, 422);
  assert.equal(error.detail[0].type, "json_invalid");
  assert.equal(error.detail[0].ctx.error, "Invalid \\uXXXX escape");
  assert.match(error.message, /JSON decode error.*\(422\)$/);
});

test("all that is wrong with a text of tenants is said, with line and member", () => {
  const text = '{"id":7}\nnope\n{"id":"a","name":1,"welcome":2,"limits":{"chat_per_10s":-1}}\n';
  const error = refusal(() => Tenantry.fromJsonl(text), "invalid_tenants");
  assert.equal(error.status, 0);
  const places = error.problems.map(({ line, member }) => `${line}:${member ?? ""}`);
  for (const place of ["1:id", "2:", "3:name", "3:welcome", "3:limits.chat_per_10s"]) {
    assert.ok(places.includes(place), `${place} is not in ${places}`);
  }
  for (const { message } of error.problems) assert.ok(error.message.includes(message));
  assert.deepEqual(Tenantry.check(text), { tenants: 0, problems: error.problems, warnings: [] });
});

test("check counts tenants, and says what is odd", () => {
  const text = `${TENANTS}\n{"name":"n","welcome":"w"}\n{"id":"acme","name":"n","welcome":"w"}`;
  const { tenants, problems, warnings } = Tenantry.check(text);
  assert.deepEqual([tenants, problems.length, warnings.length], [3, 0, 2]);
  assert.deepEqual(Tenantry.fromJsonl(text).warnings, warnings);
});

test("members with unknown names are named, with what was probably meant, and ignored", () => {
  const row = '{"id":"a","name":"n","welcome":"w","limts":{"sessions":0},"limits":{"chats_per_10s":0}}';
  const { problems, warnings } = Tenantry.check(row);
  assert.deepEqual(problems, []);
  const said = warnings.map(({ line, member, message }) => `${line}:${member}: ${message}`);
  assert.deepEqual(said, [
    "1:limts: unknown, so it is ignored; did you mean limits?",
    "1:limits.chats_per_10s: unknown, so it is ignored; did you mean limits.chat_per_10s?",
  ]);
  const app = Tenantry.fromJsonl(row);
  assert.deepEqual(app.warnings, warnings);
  assert.equal(app.tenant("a").info().limits.sessions, undefined);

  const many = Array.from({ length: 30 }, (_, n) => `"x${n}":1`);
  const { warnings: listed } = Tenantry.check(row.replace('"limts"', `${many},"limts"`));
  assert.equal(listed.length, 21);
  assert.deepEqual(listed[20], {
    line: undefined,
    member: undefined,
    message: "12 more unknown members are ignored",
  });
});

test("ids and texts that are too long are problems of their member", () => {
  const row = (id, name) => JSON.stringify({ id, name, welcome: "w" });
  assert.deepEqual(Tenantry.check(row("ä".repeat(256), "n".repeat(4096))).problems, []);
  const { problems } = Tenantry.check(`${row("ä".repeat(257), "n")}\n${row("a", "n".repeat(4097))}`);
  assert.deepEqual(
    problems.map(({ line, member, message }) => [line, member, message]),
    [
      [1, "id", "514 bytes; it may have 512 at most"],
      [2, "name", "4097 bytes; it may have 4096 at most"],
    ],
  );
  const [nul] = Tenantry.check(row("a\u0000", "n")).problems;
  assert.match(nul.message, /U\+0000/);
});

test("half of a surrogate pair in a text of tenants is a problem of its line", () => {
  for (const [text, line] of [["\ud800", 1], ["\n\r\n\ra\udfff", 4]]) {
    const [problem, ...more] = Tenantry.check(text).problems;
    assert.equal(more.length, 0);
    assert.equal(problem.line, line);
    assert.match(problem.message, /surrogate/);
    refusal(() => Tenantry.fromJsonl(text), "invalid_tenants");
  }
});

test("a text of other things than tenants lists what fits", () => {
  const { problems } = Tenantry.check("x\n".repeat(1_000_000));
  assert.equal(problems.length, 10_000);
  refusal(() => Tenantry.check("x".repeat(16 * 1024 * 1024 + 1)), "invalid_argument");
  refusal(() => Tenantry.fromJsonl("ä".repeat(9 * 1024 * 1024)), "invalid_argument");
});

test("codes are told apart by programs, and cannot be changed by accident", () => {
  const source = read("web/npm/src/errors.ts");
  const codes = [...source.matchAll(/^ {2}\| "(\w+)"/gm)].map(([, code]) => code);
  assert.equal(new Set(codes).size, codes.length);
  for (const code of Object.keys(CAUSES)) assert.ok(codes.includes(code), code);
  assert.ok(new TenantryError("error", "x") instanceof Error);
});
