//! The log of exchanges as data: which are wanted, and how they are written down.

import { type Exchange, text } from "./exchange";

/** What is wanted of the log; empty is everything. */
export interface Filter {
  /** A tenant's id. */
  readonly tenant: string;
  /** The first digit of the status, or `none` for calls without an answer. */
  readonly status: string;
  /** Any part of path, status, headers or bodies; case does not count. */
  readonly words: string;
}

/** Characters of a body that are searched. */
const SEARCHED = 20_000;

export function matches(
  { call, answer, failure }: Exchange,
  { tenant, status, words }: Filter,
): boolean {
  if (tenant !== "" && call.tenant !== tenant) return false;
  const first = answer ? String(answer.status).slice(0, 1) : "none";
  if (status !== "" && first !== status) return false;
  const wanted = words.trim().toLowerCase();
  if (wanted === "") return true;
  const parts = [
    `${call.method} ${call.path} ${answer?.status ?? ""}`,
    ...[...call.headers, ...(answer?.headers ?? [])].map(([name, value]) => `${name}: ${value}`),
    call.body === undefined ? "" : text(call.body).slice(0, SEARCHED),
    answer?.body.slice(0, SEARCHED) ?? "",
    failure ?? "",
  ];
  return parts.some((part) => part.toLowerCase().includes(wanted));
}

/** The exchanges as JSON, oldest first. */
export function exported(exchanges: readonly Exchange[]): string {
  const entries = [...exchanges].reverse().map(({ at, server, call, answer, failure, ms }) => ({
    time: new Date(at).toISOString(),
    server: server ?? "this page",
    tenant: call.tenant,
    request: {
      method: call.method,
      path: call.path,
      headers: call.headers,
      body: call.body === undefined ? undefined : text(call.body),
    },
    response: answer,
    failure,
    milliseconds: ms,
  }));
  return `${JSON.stringify(entries, undefined, 2)}\n`;
}

/** A time for people: `0.2 ms`, `12 ms`, `1.5 s`. Less than the clock can tell is `< 0.1 ms`. */
export function time(ms: number): string {
  if (ms < 0.05) return "< 0.1 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
