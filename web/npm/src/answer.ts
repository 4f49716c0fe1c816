import { type ErrorCode, TenantryError, codeOf, detailOf } from "./errors.js";
import type { Engine } from "./glue.js";
import type { HttpResponse, LimitState, TenantryEvent } from "./types.js";

/** Whose a request is, and what it asks for. */
export interface Subject {
  readonly operation: "session" | "chat" | undefined;
  readonly tenantId: string | undefined;
  /** The session that was opened or named. */
  readonly sessionId: string | undefined;
}

/** An answer, as far as somebody wants to know it. */
export interface Answer<T> {
  readonly status: number;
  /** What its caller wants of it. */
  readonly value: T;
  readonly retryAfterMs: number | undefined;
  readonly limit: LimitState | undefined;
  /** Only for those who watch. */
  readonly subject: Subject | undefined;
  /** Why it is a refusal; only for those who watch. */
  readonly code: ErrorCode | undefined;
  /** Why a storage failed, which is more than the answer says. */
  readonly cause?: TenantryError;
}

/** What a caller wants of the engine's last answer, which has this status. */
export type Take<T> = (engine: Engine, status: number) => T;

/** The body as text. */
export const text: Take<string> = (engine) => engine.text;

/** The answer as HTTP. */
export const http: Take<HttpResponse> = (engine, status) => {
  const headers = engine.headers
    .trimEnd()
    .split("\n")
    .map((line): [string, string] => {
      const colon = line.indexOf(": ");
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
  return { status, headers, body: engine.headOnly ? new Uint8Array() : engine.body };
};

/** What the engine has read last. */
export function subjectOf(engine: Engine): Subject {
  const { operation, tenantId, sessionId } = engine;
  return { operation, tenantId, sessionId };
}

/**
 * What the engine has answered last, with this status. All of it is read here: what comes
 * next may be code of the caller, which may ask for another answer.
 */
export function answerOf<T>(
  engine: Engine,
  status: number,
  take: Take<T>,
  windowMs: number,
  isWatched: boolean,
): Answer<T> {
  const { limit } = engine;
  return {
    status,
    value: take(engine, status),
    retryAfterMs: status < 400 ? undefined : engine.retryAfterMs,
    limit:
      limit === undefined
        ? undefined
        : Object.freeze({ limit, remaining: engine.remaining, resetMs: engine.resetMs, windowMs }),
    subject: isWatched ? subjectOf(engine) : undefined,
    code: isWatched && status >= 400 ? codeOf(status, detailOf(engine.text)) : undefined,
  };
}

/** What a caller is thrown whose request was refused. */
export function refusalOf(answer: Answer<string>): TenantryError {
  if (answer.cause) return answer.cause;
  const { status, value, retryAfterMs, limit } = answer;
  const detail = detailOf(value);
  return new TenantryError(codeOf(status, detail), detail, { status, retryAfterMs, limit });
}

/** What listeners are told of an answer at that moment; nothing where it is not about state. */
export function eventOf(answer: Answer<unknown>, at: number): TenantryEvent | undefined {
  const { status, retryAfterMs, limit, subject, cause } = answer;
  const { operation, tenantId, sessionId } = subject ?? {};
  const code = cause?.code ?? answer.code;
  const refusal = status === 429 ? "limited" : "refused";
  const type = code === undefined ? operation : refusal;
  if (type === undefined) return undefined;
  return Object.freeze({ type, at, status, tenantId, sessionId, code, retryAfterMs, limit });
}
