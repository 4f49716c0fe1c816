import { invalidArgument } from "./errors.js";
import type { StorageLike, TenantryOptions } from "./types.js";

/** Options that were checked, with the defaults put in. */
export interface Settings {
  readonly limits: boolean;
  readonly sessionTtlMs: number;
  readonly maxSessions: number;
  readonly maxBodyBytes: number;
  readonly storage: StorageLike | undefined;
  readonly storagePrefix: string;
  readonly clock: () => number;
  readonly random: ((bytes: Uint8Array<ArrayBuffer>) => void) | undefined;
}

/** Bytes that a body may have at most. Its answer takes many times as many: memory ends at 4 GiB. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;

const MAX_U32 = 4_294_967_295;
const DAY_MS = 24 * 60 * 60 * 1000;
const MIN_SESSION_TTL_MS = 10;
/** The last moment that the core can tell is in the year 2554. */
const MAX_TIME_MS = 18_000_000_000_000;

/** Checks options. */
export function settingsOf(options: TenantryOptions): Settings {
  if (typeof options !== "object" || options === null) {
    throw invalidArgument("options must be an object");
  }
  const number = numberIn(options);
  const sessionTtlMs = number("sessionTtlMs", DAY_MS, MAX_TIME_MS);
  if (sessionTtlMs > 0 && sessionTtlMs < MIN_SESSION_TTL_MS) {
    throw invalidArgument(`options.sessionTtlMs must be 0, or at least ${MIN_SESSION_TTL_MS}`);
  }
  const { limits = true, storage, storagePrefix = "tenantry:", clock = Date.now, random } = options;
  if (typeof limits !== "boolean") throw invalidArgument("options.limits must be true or false");
  if (storage !== undefined) checkStorage(storage);
  if (typeof storagePrefix !== "string") {
    throw invalidArgument("options.storagePrefix must be a string");
  }
  if (typeof clock !== "function") throw invalidArgument("options.clock must be a function");
  if (random !== undefined && typeof random !== "function") {
    throw invalidArgument("options.random must be a function");
  }
  return {
    limits,
    sessionTtlMs,
    maxSessions: number("maxSessions", 1_000_000, MAX_U32),
    maxBodyBytes: number("maxBodyBytes", 1024 * 1024, MAX_BODY_BYTES),
    storage,
    storagePrefix,
    clock,
    random,
  };
}

function numberIn(options: TenantryOptions) {
  return (name: "sessionTtlMs" | "maxSessions" | "maxBodyBytes", byDefault: number, max: number) => {
    const value: unknown = options[name] ?? byDefault;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) {
      return value;
    }
    throw invalidArgument(`options.${name} must be a whole number from 0 to ${max}`);
  };
}

function checkStorage(storage: StorageLike): void {
  const methods = ["key", "getItem", "setItem", "removeItem"] as const;
  const isObject = typeof storage === "object" && storage !== null;
  if (!isObject || !methods.every((name) => typeof storage[name] === "function")) {
    throw invalidArgument(`options.storage must be like localStorage: length, ${methods.join(", ")}`);
  }
}

/** Asks a clock, and checks what it says. */
export function timeOf(clock: () => number): number {
  const now: unknown = clock();
  if (typeof now === "number" && now >= 0 && now <= MAX_TIME_MS) return now;
  throw invalidArgument(`options.clock must return milliseconds from 0 to ${MAX_TIME_MS}`);
}
