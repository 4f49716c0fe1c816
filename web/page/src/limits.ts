//! What is left of a tenant's limit, as answers say it, and as it changes with time.

import { type Answer, header } from "./exchange";

/** What was left at one moment. */
export interface Quota {
  /** When this was so, in ms since 1970. */
  readonly at: number;
  /** Chats in any window. */
  readonly limit: number;
  readonly remaining: number;
  /** From then, until there is one more; 0 where nothing is used. */
  readonly resetMs: number;
  readonly windowMs: number;
}

/** What is left now. */
export interface Left {
  readonly limit: number;
  readonly remaining: number;
  /** Time until there are more, at most; none where nothing is missing. */
  readonly moreInMs?: number;
}

/** What the headers of an answer say; none where they say nothing, or nothing readable. */
export function quota(answer: Answer, at: number): Quota | undefined {
  const state = parameters(header(answer, "ratelimit"));
  const policy = parameters(header(answer, "ratelimit-policy"));
  const limit = policy?.get("q");
  const window = policy?.get("w");
  const remaining = state?.get("r");
  if (limit === undefined || window === undefined || remaining === undefined) return undefined;
  const resetMs = (state?.get("t") ?? window) * 1000;
  return { at, limit, remaining, resetMs, windowMs: window * 1000 };
}

/** The whole-number parameters of the item `"chat"` in a header such as `"chat";r=7;t=10`. */
function parameters(value: string | undefined): Map<string, number> | undefined {
  const item = value?.split(",").find((item) => /^\s*"chat"\s*(;|$)/.test(item));
  if (item === undefined) return undefined;
  const found = new Map<string, number>();
  for (const [, name, number] of item.matchAll(/;\s*([a-z]+)=(\d+)(?=\s*(?:;|$))/g)) {
    if (name !== undefined) found.set(name, Number(number));
  }
  return found;
}

/** How long a refusal asks to wait; none where it does not say. */
export function retryAfterMs(answer: Answer): number | undefined {
  const value = header(answer, "retry-after")?.trim();
  return value !== undefined && /^\d+$/.test(value) ? Number(value) * 1000 : undefined;
}

/** At least this much is left now, if nobody else chats: one more after the reset, all after a window. */
export function left(quota: Quota, now: number): Left {
  const { at, limit, remaining, resetMs, windowMs } = quota;
  const elapsed = Math.max(0, now - at);
  if (remaining >= limit || elapsed >= windowMs) return { limit, remaining: limit };
  if (elapsed >= resetMs) {
    const known = Math.min(limit, remaining + 1);
    return known === limit
      ? { limit, remaining: limit }
      : { limit, remaining: known, moreInMs: windowMs - elapsed };
  }
  return { limit, remaining, moreInMs: resetMs - elapsed };
}

/** `1 s`, `10 s`: seconds rounded up, and never 0. */
export function seconds(ms: number): string {
  return `${Math.max(1, Math.ceil(ms / 1000))} s`;
}

/** The limit as words: `3 of 8 left, next in 4 s`. */
export function words({ limit, remaining, moreInMs }: Left): string {
  if (limit === 0) return "no chats: the limit is 0";
  if (remaining === 0) {
    return moreInMs === undefined ? "spent" : `spent, next in ${seconds(moreInMs)}`;
  }
  const more = moreInMs === undefined ? "" : `, next in ${seconds(moreInMs)}`;
  return `${remaining} of ${limit} left${more}`;
}
