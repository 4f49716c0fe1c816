import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

import { carry, copy, open, say, spend, toggleShown } from "./actions";
import { Icon } from "./icons";
import { Limit } from "./meter";
import {
  byId,
  type Conversation,
  conversations,
  dragged,
  hueOf,
  type Message,
  nameOf,
  quotas,
  shown,
  tenants,
} from "./state";
import { own } from "./own";
import { tinted } from "./tinted";

/** What is dragged from card to card. Its data is the tenant whose session it is. */
export const SESSION = "application/x-tenantry-session";

const VOICES: Readonly<Record<string, string>> = {
  reverse: "reverses",
  upper: "capitals",
  ack: "acknowledges",
};

const EMPTY: Conversation = { messages: [] };

/** One tenant: who it is, its session, the conversation and its limit. */
export function Card({ id }: { id: string }) {
  const tenant = byId.value.get(id);
  const talk = own(conversations.value, id) ?? EMPTY;
  const over = useSignal(false);
  const busy = useSignal(false);
  /** Whether the button that was pressed gives way to the composer, which then takes the focus. */
  const opened = useRef(false);
  const name = nameOf(id);
  const label = useId();
  const { session, ended } = talk;
  const voice = VOICES[tenant?.style ?? ""];
  const model = tenant?.model ?? talk.model;
  const limit = own(quotas.value, id)?.limit ?? tenant?.chatPer10s;
  const target = dragged.value !== undefined && dragged.value !== id;
  const away = (event: DragEvent) =>
    event.dataTransfer?.types.includes(SESSION) === true && dragged.value !== id;
  const during = (work: Promise<unknown>) => {
    busy.value = true;
    void work.finally(() => {
      busy.value = false;
    });
  };

  return (
    <article
      class={`card${target ? " target" : ""}${target && over.value ? " over" : ""}`}
      aria-labelledby={label}
      ref={tinted(hueOf(id))}
      onDragOver={(event) => {
        if (!away(event)) return;
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={(event) => {
        const to = event.relatedTarget;
        if (!(to instanceof Node && event.currentTarget.contains(to))) over.value = false;
      }}
      onDrop={(event) => {
        const from = event.dataTransfer?.getData(SESSION);
        over.value = false;
        dragged.value = undefined;
        if (!from || from === id) return;
        event.preventDefault();
        void carry(from, id);
      }}
    >
      <header>
        <span class="face" aria-hidden="true">
          {initials(name)}
        </span>
        <div class="who">
          <h3 id={label}>{name}</h3>
          <p class="quieter">
            <code>{id}</code>
            {model !== undefined && <> · {model}</>}
            {voice !== undefined && <> · {voice}</>}
          </p>
        </div>
        {shown.value.length > 1 && (
          <button
            type="button"
            class="bare"
            title="Hide"
            onClick={() => {
              toggleShown(id);
              document.getElementById("tenants-title")?.focus();
            }}
          >
            <Icon name="close" />
            <span class="hidden">Hide {name}</span>
          </button>
        )}
      </header>
      {session !== undefined && <Session id={id} session={session} name={name} />}
      <Talk talk={talk} name={name} />
      {session === undefined || ended ? (
        <div class="invite">
          {session === undefined && talk.messages.length === 0 && (
            <p>{tenant?.welcome === undefined ? "No session yet." : `“${tenant.welcome}”`}</p>
          )}
          <button
            type="button"
            class="accent"
            disabled={busy.value}
            onClick={() => {
              opened.current = true;
              during(open(id));
            }}
          >
            {ended ? "Open another session" : "Open a session"}
            <span class="hidden"> with {name}</span>
          </button>
        </div>
      ) : (
        <Composer id={id} name={name} focused={opened} />
      )}
      <footer>
        <Limit id={id} name={name} row={tenant?.chatPer10s} />
        {session !== undefined && !ended && limit !== undefined && (
          <button
            type="button"
            class="quiet small"
            disabled={busy.value}
            onClick={() => {
              during(spend(id, limit));
            }}
          >
            Spend all<span class="hidden"> chats of {name}</span>
          </button>
        )}
      </footer>
      {target && (
        <p class="drop" aria-hidden="true">
          Drop the session on {name}
        </p>
      )}
    </article>
  );
}

function initials(name: string): string {
  const words = name.split(/\s+/).filter((word) => word !== "");
  return words
    .slice(0, 2)
    .map((word) => Array.from(word)[0] ?? "")
    .join("")
    .toUpperCase();
}

/** The session's id, to copy, to drag, or to carry to another tenant by button. */
function Session({ id, session, name }: { id: string; session: string; name: string }) {
  const carrying = useSignal(false);
  const menu = useId();
  const others = [
    ...new Set([...shown.value, ...tenants.value.slice(0, 6).map((tenant) => tenant.id)]),
  ]
    .filter((other) => other !== id)
    .slice(0, 8);
  return (
    <div class="session">
      <div
        class="key"
        draggable
        title="Drag this session onto another tenant’s card"
        onDragStart={(event) => {
          event.dataTransfer?.setData(SESSION, id);
          event.dataTransfer?.setData("text/plain", session);
          dragged.value = id;
        }}
        onDragEnd={() => {
          dragged.value = undefined;
        }}
      >
        <Icon name="key" />
        <span class="hidden">Session </span>
        <code>{session}</code>
      </div>
      <button
        type="button"
        class="bare"
        title="Copy the session id"
        onClick={() => void copy(session, "Session id")}
      >
        <Icon name="copy" />
        <span class="hidden">Copy {name}’s session id</span>
      </button>
      <button
        type="button"
        class="bare"
        title="Carry this session to another tenant"
        aria-expanded={carrying.value}
        aria-controls={menu}
        onClick={() => {
          carrying.value = !carrying.value;
        }}
      >
        <Icon name="carry" />
        <span class="hidden">Carry {name}’s session to another tenant</span>
      </button>
      <div class="menu" id={menu} hidden={!carrying.value}>
        {others.length === 0 && <p class="quieter">There is no other tenant.</p>}
        {others.map((other) => (
          <button
            key={other}
            type="button"
            class="quiet small"
            ref={tinted(hueOf(other))}
            onClick={() => {
              void carry(id, other);
            }}
          >
            <span class="dot" aria-hidden="true" />
            <span class="hidden">Carry to </span>
            {nameOf(other)}
          </button>
        ))}
        <button type="button" class="quiet small" onClick={() => void open(id)}>
          <Icon name="plus" />
          New session<span class="hidden"> with {name}</span>
        </button>
      </div>
    </div>
  );
}

/** What was said. New lines are read out. */
function Talk({ talk, name }: { talk: Conversation; name: string }) {
  const end = useRef<HTMLDivElement>(null);
  const last = talk.messages.at(-1)?.key;
  useEffect(() => {
    const box = end.current;
    if (box) box.scrollTop = box.scrollHeight;
  }, [last, talk.session]);
  return (
    <div class="talk" role="log" aria-label={`Conversation with ${name}`} tabIndex={0} ref={end}>
      {talk.messages.map((message) => (
        <Bubble key={`${talk.session ?? ""}${message.key}`} message={message} name={name} />
      ))}
    </div>
  );
}

function Bubble({ message, name }: { message: Message; name: string }) {
  const { kind, text, status, why } = message;
  const speaker = kind === "said" ? "You: " : kind === "reply" ? `${name}: ` : "";
  const good = status === 200;
  return (
    <div class={`bubble ${kind}${good ? "" : " not"}`}>
      {speaker && <span class="hidden">{speaker}</span>}
      {status !== undefined && !good && <span class="status">{status}</span>}
      <span class="words">{text}</span>
      {why !== undefined && <p class="why">{why}</p>}
    </div>
  );
}

/** Where a message is written. Enter sends it. */
function Composer({
  id,
  name,
  focused,
}: {
  id: string;
  name: string;
  focused: RefObject<boolean>;
}) {
  const message = useSignal("");
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (focused.current) input.current?.focus({ preventScroll: true });
    focused.current = false;
  }, []);
  return (
    <form
      class="composer"
      aria-label={`Chat with ${name}`}
      onSubmit={(event) => {
        event.preventDefault();
        const words = message.value;
        message.value = "";
        void say(id, words);
      }}
    >
      <input
        ref={input}
        type="text"
        aria-label={`Message to ${name}`}
        placeholder="Message"
        autocomplete="off"
        enterKeyHint="send"
        value={message.value}
        onInput={(event) => {
          message.value = event.currentTarget.value;
        }}
      />
      <button type="submit" class="accent round" title="Send">
        <Icon name="send" />
        <span class="hidden">Send to {name}</span>
      </button>
    </form>
  );
}
