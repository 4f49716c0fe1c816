//! What the page shows, as signals. What changes it is in `actions.ts` and `editing.ts`.

import { batch, computed, effect, signal } from "@preact/signals";

import { hues } from "./colour";
import { type Exchange, isObject } from "./exchange";
import { left, type Quota, quota } from "./limits";
import { own } from "./own";
import type { PageService, Service, TenantView } from "./service";
import { read, write } from "./store";

/** A line of a conversation. */
export interface Message {
  /** Counts up within its conversation. */
  readonly key: number;
  /** Who: the person, the tenant, a refusal, or a session that was carried in or out. */
  readonly kind: "said" | "reply" | "refused" | "visitor" | "away";
  readonly text: string;
  readonly status?: number;
  readonly why?: string;
}

/** What is known of one tenant's chat. */
export interface Conversation {
  readonly session?: string;
  /** Whether the service no longer knows the session. */
  readonly ended?: boolean;
  /** What answers told about the tenant; the page's own service tells it beforehand. */
  readonly name?: string;
  readonly welcome?: string;
  readonly model?: string;
  readonly messages: readonly Message[];
}

/** What is open for one place where the service runs. */
export interface View {
  /** Ids of the tenants side by side; none for the first few. */
  readonly shown?: readonly string[];
  readonly conversations: Readonly<Record<string, Conversation>>;
}

export interface Toast {
  readonly text: string;
  readonly bad?: boolean;
  readonly undo?: () => void;
}

/** Messages that a conversation keeps. */
const MESSAGES = 60;
/** Exchanges that the log keeps, and characters of their bodies. */
const EXCHANGES = 500;
const EXCHANGE_CHARACTERS = 16 << 20;
/** Tenants that are shown at first. */
export const FIRST_SHOWN = 3;

/** Whether the program is loaded; a sentence where it cannot be. */
export const phase = signal<"starting" | "ready" | { readonly problem: string }>("starting");
/** The service in this page, once it is loaded. */
export const pageService = signal<PageService | undefined>(undefined);
/** What answers now. */
export const service = signal<Service | undefined>(undefined);
/** The server's URL; none for this page. */
export const place = computed(() => service.value?.url);
/** Counts starts: each reset, and each change of the place. */
export const round = signal(0);
/** The server that this page came from, where it came from one. */
export const homeServer = signal<string | undefined>(undefined);
/** A server that was chosen earlier and does not answer, and why. */
export const unreachable = signal<{ readonly url: string; readonly problem: string } | undefined>(
  undefined,
);

export const tenants = signal<readonly TenantView[]>([]);
export const byId = computed(() => new Map(tenants.value.map((tenant) => [tenant.id, tenant])));

const views = signal<Readonly<Record<string, View>>>(keptViews());
export const view = computed(
  (): View => views.value[place.value ?? "page"] ?? { conversations: {} },
);
export const conversations = computed(() => view.value.conversations);

/** Ids of the tenants side by side. */
export const shown = computed((): readonly string[] => {
  const kept = view.value.shown?.filter((id) => byId.value.has(id));
  return kept?.length ? kept : tenants.value.slice(0, FIRST_SHOWN).map(({ id }) => id);
});
const shownHues = computed(() => hues(shown.value));

/** A tenant's hue in degrees. */
export function hueOf(id: string): number {
  return shownHues.value.get(id) ?? hues([id]).get(id) ?? 0;
}

/** A tenant's name as far as it is known; else its id. */
export function nameOf(id: string): string {
  return byId.value.get(id)?.name ?? own(conversations.value, id)?.name ?? id;
}

export const quotas = signal<Readonly<Record<string, Quota>>>({});
/** Until when a tenant's refusal asks to wait, in ms since 1970. */
export const waits = signal<Readonly<Record<string, number>>>({});
/** The time, in ms since 1970; runs while something counts down. */
export const now = signal(Date.now());
/** Newest first. */
export const log = signal<readonly Exchange[]>([]);
export const toast = signal<Toast | undefined>(undefined);
/** The session that is being dragged. */
export const dragged = signal<string | undefined>(undefined);

effect(() => {
  write("views", JSON.stringify(views.value));
});

const counting = computed(() =>
  shown.value.some((id) => {
    const state = own(quotas.value, id);
    const waiting = (own(waits.value, id) ?? 0) > now.value;
    return waiting || (state !== undefined && left(state, now.value).moreInMs !== undefined);
  }),
);
effect(() => {
  if (!counting.value) return;
  const timer = setInterval(tick, 250);
  return () => {
    clearInterval(timer);
  };
});

function tick(): void {
  batch(() => {
    now.value = Date.now();
    askQuotas();
  });
}

/** Brings the limits of the tenants side by side up to date, where the service tells them. */
export function askQuotas(): void {
  const asked = service.value;
  if (!asked) return;
  const found = shown.value.flatMap((id): [string, Quota][] => {
    const state = asked.quota(id);
    return state ? [[id, state]] : [];
  });
  if (found.length > 0) quotas.value = { ...quotas.value, ...Object.fromEntries(found) };
}

export function setView(change: Partial<View>): void {
  const key = place.value ?? "page";
  views.value = { ...views.value, [key]: { ...view.value, ...change } };
}

/** The current place's view as a whole. */
export function replaceView(next: View): void {
  views.value = { ...views.value, [place.value ?? "page"]: next };
}

export function setConversation(id: string, change: Partial<Conversation>): void {
  const before = own(conversations.value, id) ?? { messages: [] };
  setView({ conversations: { ...conversations.value, [id]: { ...before, ...change } } });
}

export function addMessage(id: string, message: Omit<Message, "key">): void {
  const before = own(conversations.value, id)?.messages ?? [];
  const key = (before.at(-1)?.key ?? 0) + 1;
  setConversation(id, { messages: [...before, { key, ...message }].slice(-MESSAGES) });
}

/** Puts an exchange on the log, and keeps what it says about limits. */
export function record(exchange: Exchange): void {
  const kept: Exchange[] = [];
  let characters = 0;
  for (const entry of [exchange, ...log.value]) {
    characters += (entry.call.body?.length ?? 0) + (entry.answer?.body.length ?? 0);
    if (kept.length === EXCHANGES || (kept.length > 0 && characters > EXCHANGE_CHARACTERS)) break;
    kept.push(entry);
  }
  log.value = kept;
  now.value = Date.now();
  const { call, answer } = exchange;
  if (call.tenant === undefined || !answer) return;
  const state = quota(answer, now.value);
  if (state) quotas.value = { ...quotas.value, [call.tenant]: state };
  askQuotas();
}

/** Views that an earlier visit kept; what does not look like one is left out. */
function keptViews(): Record<string, View> {
  const kept = Object.entries(parsed(read("views")));
  return Object.fromEntries(
    kept.flatMap(([key, value]): [string, View][] => {
      if (!isObject(value) || !isObject(value["conversations"])) return [];
      const open = Object.entries(value["conversations"]).filter(
        (entry): entry is [string, Conversation] => isConversation(entry[1]),
      );
      const ids: unknown = value["shown"];
      const shown = Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
      const conversations = Object.fromEntries(open);
      return [[key, shown.length > 0 ? { conversations, shown } : { conversations }]];
    }),
  );
}

function parsed(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isConversation(value: unknown): value is Conversation {
  if (!isObject(value) || !Array.isArray(value["messages"])) return false;
  const texts = [value["session"], value["name"], value["welcome"], value["model"]];
  const messages: unknown[] = value["messages"];
  return (
    texts.every((text) => text === undefined || typeof text === "string") &&
    messages.every(
      (message) =>
        isObject(message) &&
        typeof message["key"] === "number" &&
        typeof message["text"] === "string" &&
        typeof message["kind"] === "string",
    )
  );
}
