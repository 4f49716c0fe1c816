//! Why an answer is what it is, in a sentence.

import { type Answer, detail } from "./exchange";

/** The reason for a refusal, for whom it hits; none for answers without one. */
export function reason(answer: Answer, tenant: string, owner?: string): string | undefined {
  const said = detail(answer);
  switch (answer.status) {
    case 403: {
      const whose = owner === undefined ? "another tenant" : owner;
      return `The session is real, but it was opened for ${whose} and stays theirs. ${tenant} never sees the message.`;
    }
    case 404:
      if (said.includes("session"))
        return "Nobody has this session: it never was, or it has ended. Open another one.";
      if (said.includes("tenant")) return "No tenant has this id. Ids are compared exactly.";
      return "The server knows no such path.";
    case 413:
      return "The body is longer than the server takes, so it is refused before it is read.";
    case 422:
      return "The body is not what this call takes. The answer says where, and what it expected.";
    case 400:
      return "The body cannot be read as text, or breaks a bound. Nothing in it is looked at.";
    case 429:
      return said.includes("sessions")
        ? `${tenant} has as many sessions as its row allows.`
        : `${tenant} has used up its chats of the last 10 seconds. Refusals cost nothing, and other tenants go on.`;
    case 503:
      return "What keeps sessions is full or out of reach: a store of the server, or the storage of this browser. Nothing has changed.";
    default:
      return answer.status >= 500 ? "The server's fault: its log has the reason." : undefined;
  }
}
