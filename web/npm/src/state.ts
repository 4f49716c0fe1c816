import { TenantryError } from "./errors.js";
import type { ChatState, SessionState, TenantryState } from "./types.js";

const SESSION_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Checks a state that came from somewhere else; it is copied, and nothing of it is kept. */
export function stateOf(value: unknown): TenantryState {
  const { version, sessions, chats } = object(value, "the state");
  if (version !== 1) throw invalid(`version must be 1; this package reads no other`);
  const state: TenantryState = {
    version,
    sessions: list(sessions, "sessions", sessionOf),
    chats: list(chats, "chats", chatsOf),
  };
  checkUnique(state.sessions.map(({ id }) => id), (n) => `sessions[${n}].id`);
  checkUnique(state.chats.map(({ tenantId }) => tenantId), (n) => `chats[${n}].tenantId`);
  return state;
}

function sessionOf(value: unknown, place: string): SessionState {
  const { id, tenantId, lastUsedMs } = object(value, place);
  if (typeof id !== "string" || !SESSION_ID.test(id)) {
    throw invalid(`${place}.id must be a version 4 UUID in lower case`);
  }
  return {
    id,
    tenantId: text(tenantId, `${place}.tenantId`),
    lastUsedMs: time(lastUsedMs, `${place}.lastUsedMs`),
  };
}

function chatsOf(value: unknown, place: string): ChatState {
  const { tenantId, grantedMs } = object(value, place);
  return {
    tenantId: text(tenantId, `${place}.tenantId`),
    grantedMs: list(grantedMs, `${place}.grantedMs`, time),
  };
}

function object(value: unknown, place: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  throw invalid(`${place} must be an object`);
}

/** Goes by the places of a list, not by its methods: these may be the caller's. */
function list<T>(value: unknown, place: string, item: (value: unknown, place: string) => T): T[] {
  if (!Array.isArray(value)) throw invalid(`${place} must be a list`);
  const { length } = value;
  return Array.from({ length }, (_, n) => item(value[n], `${place}[${n}]`));
}

function checkUnique(values: readonly string[], place: (n: number) => string): void {
  const seen = new Set<string>();
  values.forEach((value, n) => {
    if (seen.has(value)) throw invalid(`${place(n)} stands twice`);
    seen.add(value);
  });
}

function text(value: unknown, place: string): string {
  if (typeof value === "string") return value;
  throw invalid(`${place} must be a string`);
}

function time(value: unknown, place: string): number {
  if (typeof value === "number" && value >= 0 && Number.isFinite(value)) return value;
  throw invalid(`${place} must be milliseconds since 1970`);
}

function invalid(what: string): TenantryError {
  return new TenantryError("invalid_state", `not a state that export() made: ${what}`);
}
