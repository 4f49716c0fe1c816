import type { Answer, Subject } from "./answer.js";
import { TenantryError } from "./errors.js";
import type { Engine } from "./glue.js";
import type { StorageLike } from "./types.js";

/** A session id's form: what else stands in a request is no entry's name. */
const SESSION_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A session is written again when its last use is this part of its lifetime old. */
const LIFETIME_PARTS = 256;

/**
 * Sessions and chats in a storage that several pages may share.
 *
 * Each session is an entry of its own, and in a tenant's entry of chats each page has a list
 * of its own. So pages that write at the same moment lose nothing of each other's, though
 * storages have no locks: what is written over comes back with its page's next chat.
 *
 * The engine is what answers. Before a request, what others have written about its tenant and
 * its session is taken in; after it, what has changed is written. Where that fails, the change
 * is undone, and nobody is told that it was made.
 */
export class Mirror {
  readonly #area: StorageLike;
  readonly #engine: Engine;
  readonly #sessionName: (id: string) => string;
  readonly #chatsName: (tenantId: string) => string;
  readonly #ttlMs: number;
  /** Chats count for this long. */
  readonly #windowMs: number;
  /** This page's name in the entries of chats; no secret. */
  readonly #page = Math.random().toString(36).slice(2, 10);
  /** Chats of each tenant that were granted here. */
  #granted = new Map<string, number[]>();
  /** Sessions that were found or written, and their last use then. */
  #known = new Map<string, number>();

  constructor(
    area: StorageLike,
    prefix: string,
    ttlMs: number,
    windowMs: number,
    engine: Engine,
  ) {
    this.#area = area;
    this.#engine = engine;
    this.#ttlMs = ttlMs;
    this.#windowMs = windowMs;
    this.#sessionName = (id) => `${prefix}session:${id}`;
    this.#chatsName = (tenantId) => `${prefix}chats:${tenantId}`;
  }

  /**
   * Takes in all that others have written about sessions. Entries that have ended are removed;
   * sessions whose entries are gone are closed.
   */
  refresh(now: number): void {
    guarded(() => {
      const gone = new Set(this.#known.keys());
      for (const name of this.#names()) {
        const id = this.#sessionOf(name);
        if (id === undefined) continue;
        gone.delete(id);
        // Another page may have used it since; that matters when it would end.
        const used = this.#known.get(id);
        if (used !== undefined && (this.#ttlMs === 0 || now - used < this.#ttlMs)) continue;
        try {
          this.#takeSession(id, now);
        } catch (error) {
          // It is an error for who asks for that session; the others have theirs.
          if (!(error instanceof TenantryError && error.code === "storage_corrupt")) throw error;
        }
      }
      for (const id of gone) this.#close(id, now);
    });
  }

  /** Takes in what others have written about a request's tenant and session. */
  before(subject: Subject, now: number): void {
    const { operation, tenantId, sessionId } = subject;
    if (operation === "session") this.refresh(now);
    if (operation !== "chat" || tenantId === undefined || sessionId === undefined) return;
    guarded(() => {
      if (SESSION_ID.test(sessionId)) this.#takeSession(sessionId, now);
      this.takeChats(tenantId, now);
    });
  }

  /** Takes in what others have written about a tenant's chats. */
  takeChats(tenantId: string, now: number): void {
    guarded(() => {
      const name = this.#chatsName(tenantId);
      const text = this.#get(name);
      if (text === undefined) return;
      const lists = parsed(text, isLists);
      if (!lists) {
        // What it said is over in seconds; what is wrong is said once.
        this.#area.removeItem(name);
        throw corrupt(name);
      }
      const own = this.#granted.get(tenantId) ?? [];
      const others = lists.filter(([page]) => page !== this.#page).flatMap(([, list]) => list);
      const all = [...own, ...others].filter((at) => Math.abs(now - at) < this.#windowMs);
      this.#engine.setChats(tenantId, Float64Array.from(all));
    });
  }

  /** Writes what an answer has changed. Where that fails, the change is undone. */
  after({ status, limit, subject }: Answer<unknown>, now: number): void {
    const { operation, tenantId, sessionId } = subject ?? {};
    if (tenantId === undefined || sessionId === undefined) return;
    if (operation === "session" && status === 200) {
      guarded(
        () => this.#writeSession(sessionId, tenantId, now),
        () => this.#engine.close(sessionId, now),
      );
    } else if (operation === "chat" && (status === 200 || status === 429)) {
      const isCounted = status === 200 && limit !== undefined;
      guarded(
        () => {
          this.#touch(sessionId, tenantId, now);
          if (isCounted) this.#writeChat(tenantId, now);
        },
        () => {
          if (isCounted) this.#takeBackChat(tenantId);
        },
      );
    }
  }

  /** Removes everything that any page has written. */
  clear(): void {
    this.#granted.clear();
    this.#known.clear();
    guarded(() => {
      for (const name of this.#names()) this.#area.removeItem(name);
    });
  }

  /**
   * Writes everything that the engine has in the place of what was there. Where that fails,
   * what was there stays.
   */
  replace(now: number): void {
    const entries = new Map<string, string>();
    const known = new Map<string, number>();
    for (const { id, tenantId, lastUsedMs } of this.#engine.sessions(now)) {
      entries.set(this.#sessionName(id), JSON.stringify([tenantId, lastUsedMs]));
      known.set(id, lastUsedMs);
    }
    const granted = new Map<string, number[]>();
    for (const { id } of this.#engine.tenants()) {
      const counting = [...(this.#engine.chats(id) ?? [])].filter((at) => now - at < this.#windowMs);
      if (counting.length === 0) continue;
      granted.set(id, counting);
      entries.set(this.#chatsName(id), JSON.stringify([[this.#page, counting]]));
    }
    const done: (readonly [name: string, before: string | undefined])[] = [];
    guarded(
      () => {
        // What is removed might not be taken back by a storage that has no room.
        const old = this.#names().filter((name) => !entries.has(name));
        for (const [name, text] of entries) {
          const before = this.#get(name);
          this.#area.setItem(name, text);
          done.push([name, before]);
        }
        for (const name of old) {
          const before = this.#get(name);
          this.#area.removeItem(name);
          done.push([name, before]);
        }
      },
      () => {
        for (const [name, before] of done.reverse()) {
          if (before === undefined) this.#area.removeItem(name);
          else this.#area.setItem(name, before);
        }
      },
    );
    this.#granted = granted;
    this.#known = known;
  }

  /** The names of our entries; those of others are none of our business. */
  #names(): string[] {
    const names: string[] = [];
    for (let at = 0; at < this.#area.length; at++) {
      const name = this.#area.key(at);
      if (name === null) continue;
      const isOurs = name.startsWith(this.#chatsName("")) || this.#sessionOf(name) !== undefined;
      if (isOurs) names.push(name);
    }
    return names;
  }

  /** The id of the session whose entry has that name. */
  #sessionOf(name: string): string | undefined {
    const start = this.#sessionName("");
    const id = name.slice(start.length);
    return name.startsWith(start) && SESSION_ID.test(id) ? id : undefined;
  }

  #get(name: string): string | undefined {
    const text: unknown = this.#area.getItem(name);
    if (text === null || text === undefined) return undefined;
    if (typeof text === "string") return text;
    throw corrupt(name);
  }

  #takeSession(id: string, now: number): void {
    const name = this.#sessionName(id);
    const text = this.#get(name);
    if (text === undefined) {
      this.#close(id, now);
      return;
    }
    const entry = parsed(text, isSession);
    if (!entry) throw corrupt(name);
    const [tenantId, lastUsedMs] = entry;
    switch (this.#engine.adopt(id, tenantId, lastUsedMs, now)) {
      case "adopted":
        this.#known.set(id, lastUsedMs);
        break;
      case "ended":
        this.#known.delete(id);
        this.#area.removeItem(name);
        break;
      case "another":
      case "invalid":
        throw corrupt(name);
      default:
      // Of a tenant that this page does not know.
    }
  }

  #close(id: string, now: number): void {
    this.#engine.close(id, now);
    this.#known.delete(id);
  }

  #writeSession(id: string, tenantId: string, now: number): void {
    this.#area.setItem(this.#sessionName(id), JSON.stringify([tenantId, now]));
    this.#known.set(id, now);
  }

  #touch(id: string, tenantId: string, now: number): void {
    const text = this.#get(this.#sessionName(id));
    const entry = text === undefined ? undefined : parsed(text, isSession);
    const isFresh = (used: number) => this.#ttlMs === 0 || now - used < this.#ttlMs / LIFETIME_PARTS;
    if (!entry || !isFresh(entry[1])) this.#writeSession(id, tenantId, now);
  }

  #writeChat(tenantId: string, now: number): void {
    const counts = (at: number) => now - at < this.#windowMs;
    const own = [...(this.#granted.get(tenantId) ?? []).filter(counts), now];
    const name = this.#chatsName(tenantId);
    const others = (parsed(this.#get(name) ?? "[]", isLists) ?? [])
      .filter(([page]) => page !== this.#page)
      .map(([page, list]) => [page, list.filter(counts)] as const)
      .filter(([, list]) => list.length > 0);
    this.#area.setItem(name, JSON.stringify([...others, [this.#page, own]]));
    this.#granted.set(tenantId, own);
  }

  #takeBackChat(tenantId: string): void {
    const chats = this.#engine.chats(tenantId) ?? new Float64Array();
    this.#engine.setChats(tenantId, chats.slice(0, -1));
  }
}

type SessionEntry = [tenantId: string, lastUsedMs: number];
type ListsEntry = [page: string, grantedMs: number[]][];

function parsed<T>(text: string, is: (value: unknown) => value is T): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return is(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0;
}

function isSession(value: unknown): value is SessionEntry {
  if (!Array.isArray(value)) return false;
  const [tenantId, lastUsedMs, ...more]: unknown[] = value;
  return typeof tenantId === "string" && isTime(lastUsedMs) && more.length === 0;
}

function isLists(value: unknown): value is ListsEntry {
  const isList = (list: unknown) =>
    Array.isArray(list) &&
    list.length === 2 &&
    typeof list[0] === "string" &&
    Array.isArray(list[1]) &&
    list[1].every(isTime);
  return Array.isArray(value) && value.every(isList);
}

function corrupt(name: string): TenantryError {
  const detail = `the storage's entry ${JSON.stringify(name)} is not what was written there; clear() removes all entries`;
  return new TenantryError("storage_corrupt", detail, { status: 503 });
}

/** Runs what works on a storage; undoes it where that fails. */
function guarded(work: () => void, undo?: () => void): void {
  try {
    work();
  } catch (error) {
    try {
      undo?.();
    } catch {
      // What failed first is what is told.
    }
    if (error instanceof TenantryError) throw error;
    const detail = "the storage can't be read or written; nothing has changed";
    throw new TenantryError("storage_failed", detail, { status: 503, cause: error });
  }
}
