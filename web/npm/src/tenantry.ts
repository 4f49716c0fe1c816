import {
  type Answer,
  type Subject,
  type Take,
  answerOf,
  eventOf,
  http,
  refusalOf,
  subjectOf,
  text,
} from "./answer.js";
import { TenantryError, UNKNOWN_TENANT, invalidArgument, invalidTenants } from "./errors.js";
import type { Engine, EngineProblem } from "./glue.js";
import {
  type RawRequest,
  bytesOf,
  fromStandard,
  jsonRequest,
  rawRequest,
  standardRequest,
  toStandard,
  unpairedAt,
} from "./http.js";
import { Listeners } from "./listeners.js";
import { checkStack, engineClass, memoryBytes } from "./load.js";
import { type Settings, settingsOf, timeOf } from "./options.js";
import type { TenantScope } from "./scope.js";
import { stateOf } from "./state.js";
import { Mirror } from "./storage.js";
import type {
  ChatReply,
  ChatRequest,
  HttpRequest,
  HttpResponse,
  ImportReport,
  Session,
  TenantInfo,
  TenantryEvent,
  TenantryOptions,
  TenantryState,
  TenantsProblem,
  TenantsReport,
  Usage,
} from "./types.js";

/** Bytes that a text of tenants may have: what can be wrong with more does not fit in memory. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** The longest text that the engine is asked about as a tenant's id. */
const MAX_ID = MAX_TEXT_BYTES;

/** The status of what is out of reach. */
const UNAVAILABLE = 503;

/** Ended sessions are forgotten this often in a session's lifetime. */
const SWEEPS = 16;

/**
 * A multi-tenant chat service: the rules of the Tenantry server, in this process.
 *
 * ```js
 * const app = Tenantry.fromJsonl('{"id":"acme","name":"Acme Corp","welcome":"Howdy!"}');
 * const { sessionId } = app.createSession("acme");
 * app.chat({ tenantId: "acme", sessionId, message: "hello" }).reply;
 * ```
 */
export class Tenantry {
  readonly #settings: Settings;
  readonly #listeners = new Listeners();
  readonly #mirror: Mirror | undefined;
  /** Random bytes from `options.random` that no session has used yet. */
  #random: Uint8Array<ArrayBuffer> | undefined;
  #engine: Engine | undefined;
  /** Chats count for this long. */
  readonly #windowMs = engineClass().windowMs();
  #sweptAt: number;

  /** Rows of the text that were skipped or replaced. */
  readonly warnings: readonly TenantsProblem[];

  private constructor(engine: Engine, settings: Settings) {
    this.#engine = engine;
    this.#settings = settings;
    this.warnings = engine.report().warnings;
    const { storage, storagePrefix, sessionTtlMs } = settings;
    this.#mirror = storage && new Mirror(storage, storagePrefix, sessionTtlMs, this.#windowMs, engine);
    this.#sweptAt = this.#now();
    this.#mirror?.refresh(this.#sweptAt);
  }

  /**
   * A service for the tenants of a text, one JSON object a line, as in `tenants.jsonl`.
   *
   * @throws TenantryError `invalid_tenants`, whose `problems` lists all that is wrong;
   * `invalid_argument` for bad options; `storage_failed`.
   */
  static fromJsonl(text: string | Uint8Array, options: TenantryOptions = {}): Tenantry {
    const Class = engineClass();
    const settings = settingsOf(options);
    const bytes = textBytes(text);
    let engine: Engine;
    try {
      const { limits, sessionTtlMs, maxSessions } = settings;
      engine = new Class(bytes, limits, sessionTtlMs, maxSessions);
    } catch (error) {
      const report = error as { problems?: EngineProblem[] };
      if (report.problems) throw invalidTenants(report.problems);
      throw error;
    }
    try {
      return new Tenantry(engine, settings);
    } catch (error) {
      engine.free();
      throw error;
    }
  }

  /**
   * Says what is wrong with a text of tenants, and what is odd, as an editor wants to know it.
   *
   * @throws TenantryError `invalid_argument` where it is no text, or longer than 16 MiB.
   */
  static check(text: string | Uint8Array): TenantsReport {
    const Class = engineClass();
    try {
      return Class.check(textBytes(text));
    } catch (error) {
      if (error instanceof TenantryError && error.code === "invalid_tenants") {
        return { tenants: 0, problems: error.problems, warnings: [] };
      }
      throw error;
    }
  }

  /** Bytes of memory that all services of this process hold together. */
  static memoryBytes(): number {
    return memoryBytes();
  }

  /** All tenants, in the order of the text. */
  tenants(): TenantInfo[] {
    return this.#live().tenants();
  }

  /**
   * The service as one tenant sees it: for code that must not reach another one.
   *
   * @throws TenantryError `unknown_tenant`
   */
  tenant(id: string): TenantScope {
    this.#info(id);
    return Object.freeze({
      id,
      info: () => this.#info(id),
      createSession: () => this.createSession(id),
      chat: (request: { sessionId: string; message: string }) => {
        if (!isObject(request)) throw invalidArgument("chat takes an object with sessionId and message");
        const { sessionId, message } = request;
        return this.chat({ tenantId: id, sessionId, message });
      },
      usage: () => this.usage(id),
      subscribe: (listener: (event: TenantryEvent) => void) => {
        checkListener(listener);
        return this.subscribe((event) => {
          if (event.tenantId !== id) return;
          // The session is another tenant's, and its id a secret.
          const isForeign = event.code === "wrong_tenant";
          listener(isForeign ? Object.freeze({ ...event, sessionId: undefined }) : event);
        });
      },
    });
  }

  /**
   * Opens a session for a tenant.
   *
   * @throws TenantryError `unknown_tenant`, `too_many_sessions`, `invalid_argument`,
   * `storage_failed`
   */
  createSession(tenantId: string): Session {
    const answer = this.#post("/session", { tenant_id: tenantId });
    const { session_id: sessionId, tenant } = json<{
      session_id: string;
      tenant: Session["tenant"];
    }>(answer);
    return { sessionId, tenant };
  }

  /**
   * Says something in a session.
   *
   * @throws TenantryError `unknown_tenant`, `unknown_session`, `wrong_tenant`,
   * `rate_limited`, `body_too_large`, `invalid_argument` where a member is no string,
   * `invalid_request` where one has half of a surrogate pair, `storage_failed`,
   * `storage_corrupt`
   */
  chat(request: ChatRequest): ChatReply {
    if (!isObject(request)) {
      throw invalidArgument("chat takes an object with tenantId, sessionId and message");
    }
    const { tenantId, sessionId, message } = request;
    const answer = this.#post("/chat", {
      tenant_id: tenantId,
      session_id: sessionId,
      message,
    });
    const said = json<{
      tenant_id: string;
      session_id: string;
      reply: string;
      model: string;
      mock: true;
    }>(answer);
    return {
      tenantId: said.tenant_id,
      sessionId: said.session_id,
      reply: said.reply,
      model: said.model,
      mock: said.mock,
      limit: answer.limit,
    };
  }

  /**
   * What a tenant has used. Counts nothing.
   *
   * @throws TenantryError `unknown_tenant`
   */
  usage(tenantId: string): Usage {
    this.#info(tenantId);
    const now = this.#now();
    this.#mirror?.refresh(now);
    this.#mirror?.takeChats(tenantId, now);
    const usage = this.#live().usage(tenantId, now);
    if (!usage) throw unknownTenant();
    return usage;
  }

  /**
   * Answers an HTTP request with what the server answers, byte for byte, but for the headers
   * of the connection (`date`, `connection`).
   *
   * @throws TenantryError `invalid_argument` where it is no request; every other refusal is
   * an answer.
   */
  handle(request: HttpRequest): HttpResponse {
    const raw = rawRequest(request, this.#settings.maxBodyBytes);
    return this.#answer(raw, http).value;
  }

  /**
   * Answers a standard `Request` with a standard `Response`. Nothing goes over a network:
   * the address's host has no meaning, and a path alone will do. Redirects are answers, and not
   * followed.
   *
   * @throws what building or reading the `Request` throws; TenantryError `invalid_argument`
   * where the address is too long or the body's stream gives something else than bytes.
   */
  async fetch(input: Request | string | URL, init?: RequestInit): Promise<Response> {
    const request = standardRequest(input, init);
    const Class = engineClass();
    const wantsBody = (method: string, target: string) => Class.wantsBody(method, target);
    const raw = await fromStandard(request, wantsBody, this.#settings.maxBodyBytes);
    return toStandard(this.#answer(raw, http).value, request.method);
  }

  /**
   * Hears of sessions, chats and refusals, after each has happened. Returns how to stop that.
   * What a listener throws is reported as an uncaught error, and disturbs nobody else.
   */
  subscribe(listener: (event: TenantryEvent) => void): () => void {
    checkListener(listener);
    this.#live();
    return this.#listeners.add(listener);
  }

  /** Sessions and chats, as plain JSON, to be kept elsewhere. It holds session ids: secrets. */
  export(): TenantryState {
    const now = this.#now();
    const engine = this.#live();
    this.#mirror?.refresh(now);
    const chats = engine.tenants().flatMap(({ id: tenantId }) => {
      this.#mirror?.takeChats(tenantId, now);
      const grantedMs = [...(engine.chats(tenantId) ?? [])].filter((at) => now - at < this.#windowMs);
      return grantedMs.length > 0 ? [{ tenantId, grantedMs }] : [];
    });
    return { version: 1, sessions: engine.sessions(now), chats };
  }

  /**
   * Takes over sessions and chats from {@link export}, in the place of those that are here.
   *
   * @throws TenantryError `invalid_state` where it is none that was exported;
   * `storage_failed`. Nothing has changed then.
   */
  import(state: unknown): ImportReport {
    const wanted = stateOf(state);
    const now = this.#now();
    const before = this.export();
    const report = this.#replace(wanted, now);
    try {
      this.#mirror?.replace(now);
    } catch (error) {
      this.#replace(before, now);
      throw error;
    }
    return report;
  }

  /**
   * Forgets all sessions and chats, in the storage too.
   *
   * @throws TenantryError `storage_failed`; what is in memory is forgotten then, too.
   */
  clear(): void {
    this.#live().clear();
    this.#mirror?.clear();
  }

  /** Gives the service's memory back, which otherwise happens at some time later on. */
  free(): void {
    this.#engine?.free();
    this.#engine = undefined;
  }

  /** {@link free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  #live(): Engine {
    checkStack();
    return this.#held();
  }

  /** The engine, asked for again: since {@link #live}, code of the caller may have freed it. */
  #held(): Engine {
    if (this.#engine) return this.#engine;
    throw new TenantryError("freed", "the service was given back by free()");
  }

  #now(): number {
    return timeOf(this.#settings.clock);
  }

  #info(tenantId: string): TenantInfo {
    if (typeof tenantId !== "string") throw invalidArgument("a tenant's id must be a string");
    // Half of a surrogate pair would reach the engine as another character.
    const isId = tenantId.length <= MAX_ID && unpairedAt(tenantId) < 0;
    const engine = this.#live();
    const info = isId ? engine.tenant(tenantId) : undefined;
    if (!info) throw unknownTenant();
    return info;
  }

  /** Posts JSON; throws what is no success. */
  #post(target: string, members: Readonly<Record<string, string>>): Answer<string> {
    const values: unknown[] = Object.values(members);
    if (!values.every((value) => typeof value === "string")) {
      throw invalidArgument("tenantId, sessionId and message must be strings");
    }
    const length = values.reduce((sum, value) => sum + value.length, 0);
    // It is not written as JSON then: it might be longer than a string can be.
    const isLong = length > this.#settings.maxBodyBytes;
    const answer = isLong
      ? this.#tooLarge(text)
      : this.#answer(jsonRequest(target, members), text);
    if (answer.status >= 400) throw refusalOf(answer);
    return answer;
  }

  #answer<T>(request: RawRequest, take: Take<T>): Answer<T> {
    const { method, target, contentType } = request;
    let { body } = request;
    this.#live();
    if (body.byteLength > this.#settings.maxBodyBytes) {
      if (engineClass().wantsBody(method, target)) return this.#tooLarge(take);
      body = new Uint8Array();
    }
    const now = this.#now();
    const random = this.#nextRandom();
    let subject: Subject | undefined;
    this.#sweep(this.#held(), now);
    try {
      if (this.#mirror) {
        const engine = this.#held();
        engine.read(method, target, contentType, body);
        subject = subjectOf(engine);
        this.#mirror.before(subject, now);
      }
      const status = handled(() =>
        this.#held().handle(method, target, contentType, body, now, random),
      );
      const answer = this.#read(status, take);
      if (answer.subject?.operation === "session") this.#random = undefined;
      this.#mirror?.after(answer, now);
      return this.#tell(answer, now);
    } catch (error) {
      if (!(error instanceof TenantryError && error.status === UNAVAILABLE)) throw error;
      const answer = this.#read(this.#held().unavailable(), take);
      return this.#tell({ ...answer, subject, cause: error }, now);
    }
  }

  #tooLarge<T>(take: Take<T>): Answer<T> {
    const status = this.#live().bodyTooLarge();
    return this.#tell(this.#read(status, take), this.#now());
  }

  /** What the engine has answered last. */
  #read<T>(status: number, take: Take<T>): Answer<T> {
    const isWatched = !this.#listeners.isEmpty || !!this.#mirror || !!this.#random;
    return answerOf(this.#held(), status, take, this.#windowMs, isWatched);
  }

  /** Tells listeners what came of a request. */
  #tell<T>(answer: Answer<T>, now: number): Answer<T> {
    if (this.#listeners.isEmpty) return answer;
    const event = eventOf(answer, now);
    if (event) this.#listeners.tell(event);
    return answer;
  }

  /** Sixteen bytes of the caller's random source, if there is one. */
  #nextRandom(): Uint8Array<ArrayBuffer> | undefined {
    const { random } = this.#settings;
    if (random && !this.#random) {
      const bytes = new Uint8Array(16);
      random(bytes);
      // The caller's array may be given away to another thread, or change later on.
      if (bytes.length === 0) throw invalidArgument("options.random must fill its bytes, and no more");
      this.#random = bytes.slice();
    }
    return this.#random;
  }

  #sweep(engine: Engine, now: number): void {
    const { sessionTtlMs } = this.#settings;
    if (sessionTtlMs > 0 && now - this.#sweptAt > sessionTtlMs / SWEEPS) {
      engine.sweep(now);
      this.#sweptAt = now;
    }
  }

  #replace(state: TenantryState, now: number): ImportReport {
    const engine = this.#live();
    engine.clear();
    const known = new Set(engine.tenants().map(({ id }) => id));
    let sessions = 0;
    for (const { id, tenantId, lastUsedMs } of state.sessions) {
      if (!known.has(tenantId)) continue;
      if (engine.adopt(id, tenantId, lastUsedMs, now) === "adopted") sessions += 1;
    }
    for (const { tenantId, grantedMs } of state.chats) {
      if (!known.has(tenantId)) continue;
      const counting = grantedMs.filter((at) => Math.abs(now - at) < this.#windowMs);
      engine.setChats(tenantId, Float64Array.from(counting));
    }
    return { sessions, skipped: state.sessions.length - sessions };
  }
}

function unknownTenant(): TenantryError {
  return new TenantryError("unknown_tenant", UNKNOWN_TENANT, { status: 404 });
}

function checkListener(listener: unknown): void {
  if (typeof listener !== "function") throw invalidArgument("subscribe takes a function");
}

/** The JSON of an answer, whose form is the contract's. */
function json<T>(answer: Answer<string>): T {
  return JSON.parse(answer.value) as T;
}

/** Runs what handles a request: it fails where the platform has no random numbers. */
function handled(work: () => number): number {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof TenantryError || cause instanceof RangeError) throw cause;
    const detail = "the platform gives no secure random numbers";
    throw new TenantryError("internal", detail, { status: 500, cause });
  }
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

/** A text of tenants as UTF-8. */
function textBytes(text: unknown): Uint8Array {
  const bytes = bytesOf(text, MAX_TEXT_BYTES);
  if (!bytes) throw invalidArgument("the tenants must be a string or a Uint8Array");
  if (bytes.byteLength > MAX_TEXT_BYTES) {
    throw invalidArgument(`the tenants take more than ${MAX_TEXT_BYTES} bytes`);
  }
  const at = typeof text === "string" ? unpairedAt(text) : -1;
  if (at < 0) return bytes;
  const line = (text as string).slice(0, at).split(/\r\n|\r|\n/).length;
  const message = "half of a surrogate pair, which is no character; remove it";
  throw invalidTenants([{ line, member: undefined, message }]);
}
