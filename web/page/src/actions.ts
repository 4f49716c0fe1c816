//! What the buttons of chats and the lab do. Each is one or more calls, all on the log.

import { batch } from "@preact/signals";

import {
  type Answer,
  type Call,
  chat,
  detail,
  type Exchange,
  isObject,
  object,
  openSession,
} from "./exchange";
import { reason } from "./explain";
import { retryAfterMs } from "./limits";
import {
  addMessage,
  askQuotas,
  byId,
  conversations,
  nameOf,
  now,
  record,
  service,
  setConversation,
  setView,
  shown,
  toast,
  waits,
} from "./state";
import { own } from "./own";

/** Makes a call and puts it on the log. */
export async function send(call: Call): Promise<Exchange | undefined> {
  const asked = service.value;
  if (!asked) return undefined;
  const exchange = await asked.send(call);
  // An answer that comes after the place was changed belongs to nobody any more.
  if (service.value !== asked) return undefined;
  record(exchange);
  return exchange;
}

/** Opens a session; the answer's welcome is the first line. Returns its id. */
export async function open(tenant: string): Promise<string | undefined> {
  const exchange = await send(openSession(tenant));
  if (!exchange) return undefined;
  const opened = exchange.answer?.status === 200 ? object(exchange.answer) : undefined;
  const session = opened?.["session_id"];
  if (typeof session !== "string") {
    refuse(tenant, exchange);
    return undefined;
  }
  const row = isObject(opened?.["tenant"]) ? opened["tenant"] : {};
  const known = { ...text("name", row["name"]), ...text("welcome", row["welcome"]) };
  batch(() => {
    setConversation(tenant, { ...known, session, ended: false, messages: [] });
    if (known.welcome !== undefined) {
      addMessage(tenant, { kind: "reply", text: known.welcome, status: 200 });
    }
  });
  return session;
}

function text<Key extends string>(key: Key, value: unknown): { [key in Key]?: string } {
  return typeof value === "string" ? ({ [key]: value } as { [key in Key]: string }) : {};
}

/** Says something in the tenant's session. Returns the answer. */
export async function say(tenant: string, message: string): Promise<Answer | undefined> {
  const session = own(conversations.value, tenant)?.session;
  if (session === undefined) return undefined;
  addMessage(tenant, { kind: "said", text: message });
  const exchange = await send(chat(tenant, session, message));
  if (!exchange) return undefined;
  const { answer } = exchange;
  const said = answer?.status === 200 ? object(answer) : undefined;
  batch(() => {
    if (typeof said?.["reply"] === "string") {
      setConversation(tenant, text("model", said["model"]));
      addMessage(tenant, { kind: "reply", text: said["reply"], status: 200 });
    } else {
      refuse(tenant, exchange);
    }
  });
  return answer;
}

/** Shows a refusal in the tenant's conversation, and notes what it asks for. */
function refuse(tenant: string, { answer, failure }: Exchange): void {
  if (!answer) {
    addMessage(tenant, { kind: "refused", text: "No answer", why: failure ?? "" });
    return;
  }
  const why = reason(answer, nameOf(tenant));
  const { status } = answer;
  addMessage(tenant, { kind: "refused", text: detail(answer), status, ...(why ? { why } : {}) });
  if (status === 404 && detail(answer).includes("session"))
    setConversation(tenant, { ended: true });
  const wait = retryAfterMs(answer);
  if (wait !== undefined) waits.value = { ...waits.value, [tenant]: now.value + wait };
}

/** Chats until the tenant's limit refuses; at most as often as the limit could allow. */
export async function spend(tenant: string, limit: number): Promise<void> {
  for (let chat = 1; chat <= Math.min(limit, 50) + 1; chat++) {
    const answer = await say(tenant, `Chat number ${chat}`);
    if (answer?.status !== 200) return;
  }
}

/** Opens what is not open yet, and greets every tenant that is shown. */
export async function greetAll(): Promise<void> {
  for (const tenant of shown.value) {
    const { session, ended } = own(conversations.value, tenant) ?? {};
    if (session === undefined || ended) await open(tenant);
    await say(tenant, `Hello ${nameOf(tenant)}!`);
  }
}

/** Uses one tenant's session with another tenant. Both conversations show what came of it. */
export async function carry(from: string, to: string): Promise<Exchange | undefined> {
  const session = own(conversations.value, from)?.session ?? (await open(from));
  if (session === undefined) return undefined;
  const exchange = await send(chat(to, session, "Let me in, I have a session."));
  if (!exchange) return undefined;
  const { answer, failure } = exchange;
  const outcome = answer ? detail(answer) : "No answer";
  const why = answer ? reason(answer, nameOf(to), nameOf(from)) : failure;
  const more = { ...(answer ? { status: answer.status } : {}), ...(why ? { why } : {}) };
  batch(() => {
    const visitor = `${nameOf(from)}’s session was tried here: ${outcome}`;
    addMessage(to, { kind: "visitor", text: visitor, ...more });
    addMessage(from, {
      kind: "away",
      text: `This session was carried to ${nameOf(to)}: ${outcome}`,
      ...more,
    });
  });
  return exchange;
}

/** Shows a tenant beside the others, or no longer. */
export function toggleShown(tenant: string): void {
  const ids = shown.value;
  const next = ids.includes(tenant) ? ids.filter((id) => id !== tenant) : [...ids, tenant];
  if (next.length === 0 || !byId.value.has(tenant)) return;
  batch(() => {
    setView({ shown: next });
    askQuotas();
  });
}

/** Copies a text, and says so. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast.value = { text: `${what} copied` };
  } catch {
    toast.value = copyBySelection(text)
      ? { text: `${what} copied` }
      : { text: `${what} could not be copied: the browser refused`, bad: true };
  }
}

/** The old way, for pages that were loaded over plain HTTP. */
function copyBySelection(text: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offscreen";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
