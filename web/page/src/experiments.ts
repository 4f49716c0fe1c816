//! The attempts of the isolation lab: what is sent, what should come back, and why.

import { type Call, chat, openSession, post } from "./exchange";

/** What an attempt is about. */
export interface Subject {
  readonly id: string;
  readonly name: string;
  /** A session that is its own. */
  readonly session: string;
}

export interface Experiment {
  readonly key: string;
  readonly title: string;
  readonly text: string;
  /** The status that the contract promises. */
  readonly expected: number;
  readonly call: (from: Subject, to: Subject) => Call;
  /** Why the answer is what it is. */
  readonly why: (from: Subject, to: Subject) => string;
}

/** More than a server takes unless it is told otherwise: 1 MiB and a byte. */
const TOO_LONG = "x".repeat((1 << 20) + 1);

export const experiments: readonly Experiment[] = [
  {
    key: "neighbour",
    title: "Another tenant’s session",
    text: "A real session, used with a tenant that it was not opened for.",
    expected: 403,
    call: (from, to) => chat(to.id, from.session, "Let me in, I have a session."),
    why: (from, to) =>
      `The session exists, but it was opened for ${from.name} and is theirs for life. ${to.name} never sees the message, and none of its chats is used up.`,
  },
  {
    key: "session",
    title: "An unknown session",
    text: "A well-formed session id that nobody was given.",
    expected: 404,
    call: (_, to) =>
      chat(to.id, crypto.randomUUID?.() ?? "00000000-0000-4000-8000-000000000000", "Hello?"),
    why: () =>
      "404, not 403: it is not another tenant’s, it is no one’s. Ids have 122 random bits, so guessing one is hopeless.",
  },
  {
    key: "capitals",
    title: "The right session, in capitals",
    text: "The tenant’s own session id, with its letters in upper case.",
    expected: 404,
    call: (_, to) => chat(to.id, to.session.toUpperCase(), "HELLO?"),
    why: () =>
      "Ids are compared as text, exactly. There is one way to write a key, so nothing can be almost right.",
  },
  {
    key: "tenant",
    title: "An unknown tenant",
    text: "A session for a tenant that is not in the file.",
    expected: 404,
    call: () => openSession("nobody-by-this-name"),
    why: () => "Tenants are the rows of tenants.jsonl and nothing else; a request cannot make one.",
  },
  {
    key: "json",
    title: "Malformed JSON",
    text: "A body that breaks off in the middle.",
    expected: 422,
    call: () => post("/session", '{"tenant_id": '),
    why: () =>
      "The body is not JSON, and the answer says at which character: it counts as CPython’s parser does.",
  },
  {
    key: "surrogate",
    title: "Half a character",
    text: "A lone surrogate, \\ud800: valid in JavaScript, no text anywhere else.",
    expected: 422,
    call: (_, to) =>
      post(
        "/chat",
        `{"tenant_id":${JSON.stringify(to.id)},"session_id":"${to.session}","message":"\\ud800"}`,
        to.id,
      ),
    why: () =>
      "Half of a surrogate pair cannot be written as UTF-8, so it cannot be answered either. The demo that Tenantry re-makes fails with a 500 here.",
  },
  {
    key: "bytes",
    title: "Bytes that are no text",
    text: "A byte 0xff inside the tenant’s id.",
    expected: 400,
    call: () =>
      post(
        "/session",
        new TextEncoder().encode('{"tenant_id":"?"}').map((byte) => (byte === 0x3f ? 0xff : byte)),
      ),
    why: () => "JSON on a network is UTF-8. These bytes are not, so nothing in them is looked at.",
  },
  {
    key: "missing",
    title: "A chat without a session",
    text: "The message and the tenant, and no key at all.",
    expected: 422,
    call: (_, to) => post("/chat", JSON.stringify({ tenant_id: to.id, message: "Hello?" }), to.id),
    why: () =>
      "The members are checked before anybody is looked up, and all that is wrong is said at once.",
  },
  {
    key: "long",
    title: "More than a megabyte",
    text: "A body of 1 MiB and one byte.",
    expected: 413,
    call: () => post("/chat", TOO_LONG),
    why: () =>
      "The body is longer than the service takes, so it is refused by its length and never parsed.",
  },
];
