import type { LimitState, TenantsProblem } from "./types.js";

/** One thing that is wrong with a request's body. */
export interface ValidationItem {
  /** The kind: `missing`, `string_type`, `model_attributes_type` or `json_invalid`. */
  readonly type: string;
  /** Where: `body`, then a member's name or, in bad JSON, a position. */
  readonly loc: readonly (string | number)[];
  /** What is wrong. */
  readonly msg: string;
  /** What was found; left out where it is long. */
  readonly input?: unknown;
  /** More about bad JSON. */
  readonly ctx?: { readonly error: string };
}

/** What can go wrong, as a word that programs tell apart. */
export type ErrorCode =
  /** 400: the body can't be read. */
  | "invalid_body"
  /** 403: the session is another tenant's. */
  | "wrong_tenant"
  /** 404: no such path. */
  | "not_found"
  /** 404: no such tenant. */
  | "unknown_tenant"
  /** 404: no such session, or one that has ended. */
  | "unknown_session"
  /** 405: the path takes other methods. */
  | "method_not_allowed"
  /** 413: the body is longer than it may be. */
  | "body_too_large"
  /** 422: the body is not what the operation takes; `detail` is a list. */
  | "invalid_request"
  /** 429: the tenant's chats are spent; `retryAfterMs` says until when. */
  | "rate_limited"
  /** 429: the tenant has as many sessions as it may. */
  | "too_many_sessions"
  /** 503: the storage can't be read or written, as `cause` says; nothing has changed. */
  | "storage_failed"
  /** 503: an entry of the storage is not what was written there. */
  | "storage_corrupt"
  /** 503: something that the request needs is out of reach. */
  | "unavailable"
  /** 500: a fault of this package. */
  | "internal"
  /** The text of tenants has problems, which `problems` lists. */
  | "invalid_tenants"
  /** A value that was passed in is not what it must be. */
  | "invalid_argument"
  /** A state that was passed in is not one that was exported. */
  | "invalid_state"
  /** `init` has not been awaited. */
  | "not_initialized"
  /** The service was given back by `free`. */
  | "freed"
  /** An answer that has no name yet. */
  | "error";

/** What an error brings along. */
export interface ErrorFields {
  status?: number | undefined;
  retryAfterMs?: number | undefined;
  limit?: LimitState | undefined;
  problems?: readonly TenantsProblem[] | undefined;
  cause?: unknown;
}

/** Why something was refused. */
export class TenantryError extends Error {
  /** The HTTP status that a server would answer with; 0 where there is none. */
  readonly status: number;
  /** What went wrong, as a word. */
  readonly code: ErrorCode;
  /** What went wrong, as a server says it: a sentence, or a list of what is wrong. */
  readonly detail: string | readonly ValidationItem[];
  /** When to try again, in milliseconds; `undefined` where that would not help. */
  readonly retryAfterMs: number | undefined;
  /** What is left of the tenant's limit, where it was asked. */
  readonly limit: LimitState | undefined;
  /** What is wrong with a text of tenants; empty for other errors. */
  readonly problems: readonly TenantsProblem[];

  constructor(
    code: ErrorCode,
    detail: string | readonly ValidationItem[],
    fields: ErrorFields = {},
  ) {
    const text = typeof detail === "string" ? detail : detail.map(itemText).join("; ");
    const { status = 0, cause } = fields;
    super(status === 0 ? text : `${text} (${status})`, cause === undefined ? {} : { cause });
    this.name = "TenantryError";
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryAfterMs = fields.retryAfterMs;
    this.limit = fields.limit;
    this.problems = fields.problems ?? [];
  }
}

/** @internal What the contract calls an unknown tenant. */
export const UNKNOWN_TENANT = "Unknown tenant_id";

/** The contract's errors that a sentence says; `docs/http.md` lists them. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  "400 There was an error parsing the body": "invalid_body",
  "403 Session does not belong to tenant": "wrong_tenant",
  "404 Not Found": "not_found",
  [`404 ${UNKNOWN_TENANT}`]: "unknown_tenant",
  "404 Unknown session_id": "unknown_session",
  "405 Method Not Allowed": "method_not_allowed",
  "413 Request body too large": "body_too_large",
  "429 Rate limit exceeded": "rate_limited",
  "429 Too many sessions": "too_many_sessions",
  "500 Internal Server Error": "internal",
  "503 Service Unavailable": "unavailable",
};

/** @internal The word for an answer. */
export function codeOf(status: number, detail: string | readonly ValidationItem[]): ErrorCode {
  if (typeof detail !== "string") return "invalid_request";
  return CODES[`${status} ${detail}`] ?? "error";
}

/** @internal What an error's body says. */
export function detailOf(text: string): string | readonly ValidationItem[] {
  if (!text.startsWith("{")) return text;
  return (JSON.parse(text) as { detail: string | ValidationItem[] }).detail;
}

/** @internal A value that was passed in is not what it must be. */
export function invalidArgument(what: string, cause?: unknown): TenantryError {
  return new TenantryError("invalid_argument", what, { cause });
}

function itemText(item: ValidationItem): string {
  return `${item.loc.join(".")}: ${item.msg}${item.ctx ? `: ${item.ctx.error}` : ""}`;
}

/** @internal Everything that is wrong with a text of tenants. */
export function invalidTenants(problems: readonly TenantsProblem[]): TenantryError {
  const lines = problems.map(({ line, member, message }) => {
    const place = line === undefined ? "" : `line ${line}: `;
    return `${place}${member === undefined ? "" : `${member}: `}${message}`;
  });
  const count = `${problems.length} problem${problems.length === 1 ? "" : "s"} in the tenants`;
  return new TenantryError("invalid_tenants", `${count}\n${lines.join("\n")}`, { problems });
}
