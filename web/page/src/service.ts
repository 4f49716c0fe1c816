//! The one place that knows how requests are answered: in this page, or by a server.

import { init, Tenantry, TenantryError } from "tenantry/slim";
import type { HttpRequest, TenantryState, TenantsProblem, TenantsReport } from "tenantry/slim";

import { diagnosis } from "./diagnosis";
import { type Answer, type Call, chat, type Exchange, listTenants, object } from "./exchange";
import type { Quota } from "./limits";

export type { TenantsProblem, TenantsReport };

/** A tenant, as far as it is known. */
export interface TenantView {
  readonly id: string;
  readonly name?: string;
  readonly welcome?: string;
  readonly model?: string;
  readonly style?: string;
  /** Chats in any 10 seconds. */
  readonly chatPer10s?: number;
}

/** Answers requests. All that differs between the places where the service runs. */
export interface Service {
  /** The server's URL with its last slash; none for this page. */
  readonly url: string | undefined;
  /** Makes a call. Never throws: an exchange without an answer says why. */
  send(call: Call): Promise<Exchange>;
  /** All tenants, in the file's order; the reason where the answer is none of Tenantry's. */
  tenants(): Promise<
    { exchange: Exchange; tenants: readonly TenantView[] } | { exchange: Exchange; problem: string }
  >;
  /** What is left of a tenant's limit, where that can be asked without using it. */
  quota(tenant: string): Quota | undefined;
}

let exchanges = 0;

function exchanged(
  call: Call,
  at: number,
  ms: number,
  server: string | undefined,
  outcome: { answer: Answer } | { failure: string },
): Exchange {
  return { id: ++exchanges, at, ms, call, ...(server === undefined ? {} : { server }), ...outcome };
}

/** Loads the program: the page's link to the .wasm file, or the element that holds it in base64. */
export async function load(): Promise<void> {
  const source = document.getElementById("wasm");
  if (source instanceof HTMLLinkElement) {
    const response = await fetch(source.href);
    if (!response.ok) throw new Error(`${source.href} was answered with ${response.status}`);
    const streams = response.headers.get("content-type")?.startsWith("application/wasm");
    await init(streams ? response : await response.arrayBuffer());
  } else {
    const characters = atob(source?.textContent ?? "");
    await init(Uint8Array.from(characters, (character) => character.charCodeAt(0)));
  }
}

/** What is wrong with a tenants file. */
export function check(text: string): TenantsReport {
  return Tenantry.check(text);
}

/** The memory of the program in bytes, over all that this page does with it. */
export function memoryBytes(): number {
  return Tenantry.memoryBytes();
}

/** The service in this page. */
export class PageService implements Service {
  readonly url = undefined;
  #app: Tenantry;

  private constructor(app: Tenantry) {
    this.#app = app;
  }

  /**
   * Starts with a tenants file and the sessions that `storage` kept.
   * Throws where the file has problems.
   */
  static start(text: string, storage: Storage | undefined): PageService {
    try {
      return new PageService(Tenantry.fromJsonl(text, storage ? { storage } : {}));
    } catch (error) {
      const kept = error instanceof TenantryError && error.code.startsWith("storage_");
      if (!kept) throw error;
      // What was kept cannot be read, so it is of no use to anybody.
      return new PageService(Tenantry.fromJsonl(text));
    }
  }

  async send(call: Call): Promise<Exchange> {
    const at = Date.now();
    const started = performance.now();
    try {
      const { method, path, headers, body } = call;
      const response = this.#app.handle({
        method,
        target: path,
        headers: headers.map(([name, value]): [string, string] => [name, value]),
        ...(body === undefined ? {} : { body }),
      });
      const ms = performance.now() - started;
      const answer = {
        status: response.status,
        headers: response.headers,
        body: new TextDecoder().decode(response.body),
      };
      return exchanged(call, at, ms, undefined, { answer });
    } catch (error) {
      const failure = `The service in this page failed (${String(error)}). Reset starts it again.`;
      return exchanged(call, at, performance.now() - started, undefined, { failure });
    }
  }

  async tenants() {
    const exchange = await this.send(listTenants);
    const tenants = this.#app
      .tenants()
      .map(({ id, name, welcome, model, limits, reply }): TenantView => ({
        id,
        name,
        welcome,
        model,
        style: reply.style,
        ...(limits.chatPer10s === undefined ? {} : { chatPer10s: limits.chatPer10s }),
      }));
    return { exchange, tenants };
  }

  quota(tenant: string): Quota | undefined {
    try {
      const { limit } = this.#app.usage(tenant);
      return limit && { at: Date.now(), ...limit };
    } catch {
      return undefined;
    }
  }

  /** Replaces the tenants; sessions and limits of those that stay are kept. Throws where the file has problems. */
  apply(text: string, storage: Storage | undefined): void {
    Tenantry.fromJsonl(text).free();
    const state = this.#app.export();
    this.#app.free();
    this.#app = PageService.start(text, storage).#app;
    this.#app.import(state);
  }

  /** All sessions and limits. */
  state(): TenantryState {
    return this.#app.export();
  }

  restore(state: TenantryState): void {
    this.#app.import(state);
  }

  /** Forgets all sessions and limits, kept ones too. */
  clear(): void {
    this.#app.clear();
  }
}

/** How long a server may take. */
const TIMEOUT_MS = 15_000;

/** The service at a URL, which ends in a slash. */
export class RemoteService implements Service {
  constructor(readonly url: string) {}

  async send(call: Call): Promise<Exchange> {
    const at = Date.now();
    const started = performance.now();
    try {
      const response = await fetch(this.url + call.path.replace(/^\//, ""), {
        method: call.method,
        headers: call.headers.map(([name, value]): [string, string] => [name, value]),
        ...(call.body === undefined ? {} : { body: call.body }),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const body = await response.text();
      const ms = performance.now() - started;
      const answer = { status: response.status, headers: [...response.headers], body };
      return exchanged(call, at, ms, this.url, { answer });
    } catch (error) {
      const ms = performance.now() - started;
      return exchanged(call, at, ms, this.url, { failure: await diagnosis(this.url, error) });
    }
  }

  async tenants() {
    const exchange = await this.send(listTenants);
    const { answer, failure } = exchange;
    if (!answer) return { exchange, problem: failure ?? "" };
    const listed = object(answer);
    const ids: unknown = listed?.["tenants"];
    if (answer.status !== 200 || listed?.["ok"] !== true || !Array.isArray(ids)) {
      const problem = `${this.url} answers, but not as Tenantry does (GET / gave ${answer.status} without a list of tenants). Check the address and port; “tenantry serve” prints them when it starts.`;
      return { exchange, problem };
    }
    const known: unknown[] = ids;
    const tenants = known.filter((id) => typeof id === "string").map((id): TenantView => ({ id }));
    return { exchange, tenants };
  }

  quota(): undefined {
    return undefined;
  }
}

/** Chats before any that is measured: browsers compile what they run often. */
const WARM_UP = 5_000;

/** A second service with the same tenants and no limits, to measure calls with. */
export class Probe {
  readonly tenants: number;
  readonly #app: Tenantry;
  readonly #request: HttpRequest;

  private constructor(app: Tenantry, tenants: number, request: HttpRequest) {
    this.#app = app;
    this.tenants = tenants;
    this.#request = request;
  }

  /** Starts with a session for the first tenant. Throws where the file has problems. */
  static start(text: string): Probe {
    const app = Tenantry.fromJsonl(text, { limits: false });
    const tenants = app.tenants();
    const tenant = tenants[0]?.id ?? "";
    const { sessionId } = app.createSession(tenant);
    const {
      method,
      path: target,
      headers,
      body,
    } = chat(tenant, sessionId, "How long does this take?");
    const copied = headers.map(([name, value]): [string, string] => [name, value]);
    const probe = new Probe(app, tenants.length, {
      method,
      target,
      headers: copied,
      ...(body === undefined ? {} : { body }),
    });
    probe.run(WARM_UP);
    return probe;
  }

  /** The time that so many chats take, in ms. */
  run(chats: number): number {
    const started = performance.now();
    for (let number = 0; number < chats; number++) {
      const { status } = this.#app.handle(this.#request);
      if (status !== 200) throw new Error(`a chat was answered with ${status}`);
    }
    return performance.now() - started;
  }

  free(): void {
    this.#app.free();
  }
}
