/** A tenant, as its row of the tenants text says. */
export interface TenantInfo {
  /** What requests call it; compared exactly. */
  readonly id: string;
  /** Its name for people. */
  readonly name: string;
  /** What each of its replies begins with. */
  readonly welcome: string;
  /** The model that answers. Default is `mock`. */
  readonly model: string;
  readonly limits: TenantLimits;
  readonly reply: ReplyVoice;
}

/** What a tenant may use. */
export interface TenantLimits {
  /** Chats in any 10 seconds; `undefined` is no limit. */
  readonly chatPer10s: number | undefined;
  /** Live sessions; `undefined` is {@link TenantryOptions.maxSessions}. */
  readonly sessions: number | undefined;
}

/** How the mock model answers for a tenant. */
export interface ReplyVoice {
  /** What it does with the message: says it backwards, in capitals, or takes note of it. */
  readonly style: "reverse" | "upper" | "ack";
  /** What stands in brackets between welcome and answer. */
  readonly tag: string;
}

/** An open session. */
export interface Session {
  /** The session's id: a random UUID, and the only secret that a chat needs. */
  readonly sessionId: string;
  /** The tenant that the session belongs to, for all its life. */
  readonly tenant: { readonly id: string; readonly name: string; readonly welcome: string };
}

/** What is said in a session. */
export interface ChatRequest {
  /** The tenant that speaks. */
  tenantId: string;
  /** A session of that tenant. */
  sessionId: string;
  /** What is said. */
  message: string;
}

/** A tenant's answer. */
export interface ChatReply {
  readonly tenantId: string;
  readonly sessionId: string;
  /** The answer. */
  readonly reply: string;
  /** The model that answered. */
  readonly model: string;
  /** No real model answers. */
  readonly mock: true;
  /** What is left of the tenant's limit; `undefined` where it has none. */
  readonly limit: LimitState | undefined;
}

/** What is left of a limit on chats. */
export interface LimitState {
  /** Chats allowed in any {@link windowMs}. */
  readonly limit: number;
  /** Chats that would be granted now. */
  readonly remaining: number;
  /** Milliseconds until one more chat becomes available than now; 0 where all are. */
  readonly resetMs: number;
  /** The span that the limit is about, in milliseconds. */
  readonly windowMs: number;
}

/** What a tenant has used. */
export interface Usage {
  /** Its live sessions. */
  readonly sessions: number;
  /** What is left of its limit on chats; `undefined` where it has none. */
  readonly limit: LimitState | undefined;
}

/** One thing that is wrong, or odd, about a text of tenants. */
export interface TenantsProblem {
  /** The line, from 1; `undefined` where it is about the text as a whole. */
  readonly line: number | undefined;
  /** The member, such as `limits.chat_per_10s`; `undefined` where it is about the line. */
  readonly member: string | undefined;
  /** What is wrong, and what would be right. */
  readonly message: string;
}

/** What a text of tenants comes to. */
export interface TenantsReport {
  /** How many tenants it has; 0 where it has problems. */
  readonly tenants: number;
  /** What is wrong, the first 10,000: with any of these, there is no service. */
  readonly problems: readonly TenantsProblem[];
  /** What is odd: rows that are skipped or replaced, and the first 20 members with unknown names. */
  readonly warnings: readonly TenantsProblem[];
}

/** An HTTP request. */
export interface HttpRequest {
  /** The method, in the case that it is sent in. */
  method: string;
  /** Path and query, such as `/chat?x=1`: at most 65,536 characters. */
  target: string;
  /** Headers; only the first `content-type` matters. Default is none. */
  headers?: HeaderList | undefined;
  /** The body; text is sent as UTF-8. Default is none. */
  body?: string | ArrayBuffer | ArrayBufferView | undefined;
}

/** Headers, as a `Headers` object, pairs, or an object has them. */
export type HeaderList =
  | Iterable<readonly [name: string, value: string]>
  | Readonly<Record<string, string>>;

/** An HTTP response. */
export interface HttpResponse {
  /** The status. */
  readonly status: number;
  /** Headers, their names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The body's bytes; empty for HEAD. */
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Something that happened; frozen, as all listeners get the same object. */
export interface TenantryEvent {
  /**
   * What: `session` is a session that was opened, `chat` a chat that was answered, `limited`
   * a refusal because something is used up (429), `refused` any other one.
   */
  readonly type: "session" | "chat" | "limited" | "refused";
  /** When, by the service's clock: milliseconds since 1970. */
  readonly at: number;
  /** The status that it was answered with. */
  readonly status: number;
  /** The tenant that the request named, known or not; `undefined` where it named none. */
  readonly tenantId: string | undefined;
  /**
   * The session that was opened or named. A {@link TenantScope} leaves out that of another
   * tenant.
   */
  readonly sessionId: string | undefined;
  /** Why it was refused: see {@link TenantryError.code}. */
  readonly code: string | undefined;
  /** When it may be tried again, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** What is left of the tenant's limit, where it was asked. */
  readonly limit: LimitState | undefined;
}

/** Sessions and chats, as plain JSON. */
export interface TenantryState {
  /** The version of this form. */
  readonly version: 1;
  readonly sessions: readonly SessionState[];
  readonly chats: readonly ChatState[];
}

/** A live session. */
export interface SessionState {
  readonly id: string;
  readonly tenantId: string;
  /** When it was last used, to 1/256 of the session lifetime: milliseconds since 1970. */
  readonly lastUsedMs: number;
}

/** A tenant's chats that still count against its limit. */
export interface ChatState {
  readonly tenantId: string;
  /** When they were granted, oldest first: milliseconds since 1970. */
  readonly grantedMs: readonly number[];
}

/** What was taken over from a state. */
export interface ImportReport {
  /** Sessions that live here now. */
  readonly sessions: number;
  /** Sessions that were left out: ended, or of tenants that are unknown here. */
  readonly skipped: number;
}

/** Where sessions and chats are kept: `localStorage`, or an object like it. */
export interface StorageLike {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** How a service works. */
export interface TenantryOptions {
  /** Whether limits hold; without them nothing is answered with 429. Default is true. */
  limits?: boolean | undefined;
  /**
   * How long a session lives without being used, in milliseconds, from 10; 0 is for ever.
   * Default is 24 hours.
   */
  sessionTtlMs?: number | undefined;
  /** Live sessions that a tenant may have whose row does not say. Default is 1,000,000. */
  maxSessions?: number | undefined;
  /** Bytes that a request's body may have; above is 413. Default is 1 MiB, at most 64 MiB. */
  maxBodyBytes?: number | undefined;
  /**
   * Where sessions and chats are kept, so that they outlive the page and are shared by its
   * tabs. Default is memory alone.
   */
  storage?: StorageLike | undefined;
  /** What the names of entries in `storage` begin with. Default is `tenantry:`. */
  storagePrefix?: string | undefined;
  /** Milliseconds since 1970, for tests. Default is `Date.now`. */
  clock?: (() => number) | undefined;
  /** Fills 16 bytes for a session id, for tests. Default is the platform's secure source. */
  random?: ((bytes: Uint8Array<ArrayBuffer>) => void) | undefined;
}
