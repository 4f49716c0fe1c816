import type { Engine } from "./glue.js";
import type { HttpResponse, LimitState } from "./types.js";

/** Whose a request is, and what it asks for. */
export interface Subject {
  readonly operation: "session" | "chat" | undefined;
  readonly tenantId: string | undefined;
  /** The session that was opened or named. */
  readonly sessionId: string | undefined;
}

/** What came of a request. */
export interface Answer extends Subject {
  readonly status: number;
  /** A line each: name, colon, blank, value. */
  readonly headers: string;
  /** Also where the answer leaves it out. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** The answer leaves the body out: it is one to HEAD. */
  readonly headOnly: boolean;
  readonly retryAfterMs: number | undefined;
  readonly limit: LimitState | undefined;
}

/** What the engine has read last. */
export function subjectOf(engine: Engine): Subject {
  const { operation, tenantId, sessionId } = engine;
  return { operation, tenantId, sessionId };
}

/** What the engine has answered last, with this status. */
export function answerOf(engine: Engine, status: number, windowMs: number): Answer {
  const { operation, tenantId, sessionId, headers, body, headOnly, retryAfterMs, limit } =
    engine;
  return {
    operation,
    tenantId,
    sessionId,
    status,
    headers,
    body,
    headOnly,
    retryAfterMs,
    limit:
      limit === undefined
        ? undefined
        : { limit, remaining: engine.remaining, resetMs: engine.resetMs, windowMs },
  };
}

/** An answer as callers have it. */
export function responseOf({ status, headers, body, headOnly }: Answer): HttpResponse {
  const pairs = headers
    .trimEnd()
    .split("\n")
    .map((line): [string, string] => {
      const colon = line.indexOf(": ");
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
  return { status, headers: pairs, body: headOnly ? new Uint8Array() : body };
}
