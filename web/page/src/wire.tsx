import { computed, signal } from "@preact/signals";
import { Component } from "preact";

import { copy } from "./actions";
import { curl, LOCAL } from "./curl";
import { type Exchange, type Header, size, text } from "./exchange";
import { matches, exported, time } from "./log";
import { Icon } from "./icons";
import { hueOf, log, nameOf, place } from "./state";
import { tinted } from "./tinted";

/** Characters of a body that are drawn. */
const DRAWN = 4_000;

const tenant = signal("");
const status = signal("");
const words = signal("");
/** What was opened (true) or closed by hand; else the newest is open. */
const opened = signal<Readonly<Record<number, boolean>>>({});

const found = computed(() => {
  const filter = { tenant: tenant.value, status: status.value, words: words.value };
  return log.value.filter((exchange) => matches(exchange, filter));
});
const named = computed(() => {
  const ids = log.value.map(({ call }) => call.tenant).filter((id) => id !== undefined);
  return [...new Set([...ids, ...(tenant.value ? [tenant.value] : [])])].sort();
});

/** Every HTTP exchange, newest first. */
export function Wire() {
  const count = log.value.length;
  const some = found.value.length;
  return (
    <aside id="wire" class="wire" aria-labelledby="wire-title">
      <div class="bar">
        <h2 id="wire-title">The wire</h2>
        <div class="row end">
          <button type="button" class="quiet small" disabled={some === 0} onClick={download}>
            <Icon name="down" />
            Export JSON
          </button>
          <button
            type="button"
            class="quiet small"
            disabled={count === 0}
            onClick={() => {
              log.value = [];
            }}
          >
            Clear<span class="hidden"> the wire</span>
          </button>
        </div>
      </div>
      <p class="quieter">
        {place.value === undefined
          ? "The real request and answer of every action. They don’t leave this page."
          : `The real request and answer of every action, to and from ${place.value}. Only headers that this page may see are shown.`}
      </p>
      <Filters />
      <p class="quieter" role="status">
        {some === count ? amount(count) : `${some} of ${amount(count)}`}
      </p>
      {count === 0 && (
        <p class="empty">Nothing yet. Open a session, and its request and answer appear here.</p>
      )}
      {count > 0 && some === 0 && <p class="empty">No exchange is like that.</p>}
      <ol class="exchanges" aria-label="Exchanges" tabIndex={0}>
        {found.value.map((exchange, index) => (
          <Entry
            key={exchange.id}
            exchange={exchange}
            open={opened.value[exchange.id] ?? index === 0}
            hue={hueOf(exchange.call.tenant ?? "")}
          />
        ))}
      </ol>
    </aside>
  );
}

function amount(count: number): string {
  return count === 1 ? "1 exchange" : `${count} exchanges`;
}

function Filters() {
  return (
    <div class="filters" role="search" aria-label="Filter the wire">
      <select
        aria-label="Tenant"
        value={tenant.value}
        onChange={(event) => {
          tenant.value = event.currentTarget.value;
        }}
      >
        <option value="">All tenants</option>
        {named.value.map((id) => (
          <option key={id} value={id}>
            {nameOf(id)}
          </option>
        ))}
      </select>
      <select
        aria-label="Status"
        value={status.value}
        onChange={(event) => {
          status.value = event.currentTarget.value;
        }}
      >
        <option value="">Any status</option>
        <option value="2">2xx</option>
        <option value="4">4xx</option>
        <option value="5">5xx</option>
        <option value="none">No answer</option>
      </select>
      <input
        type="search"
        aria-label="Text"
        placeholder="Text"
        autocomplete="off"
        spellcheck={false}
        value={words.value}
        onInput={(event) => {
          words.value = event.currentTarget.value;
        }}
      />
    </div>
  );
}

/** Offers what is shown as a file. */
function download(): void {
  const blob = new Blob([exported(found.value)], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "tenantry-wire.json";
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 10_000);
}

interface EntryProps {
  readonly exchange: Exchange;
  readonly open: boolean;
  readonly hue: number;
}

/** One exchange: a line, and all of it once opened. */
class Entry extends Component<EntryProps> {
  override shouldComponentUpdate(next: EntryProps): boolean {
    const { exchange, open, hue } = this.props;
    return next.exchange !== exchange || next.open !== open || next.hue !== hue;
  }

  override render({ exchange, open, hue }: EntryProps) {
    const { id, at, ms, call, answer } = exchange;
    const label = `${call.method} ${call.path}`;
    return (
      <li class="exchange" ref={tinted(hue)}>
        <details
          open={open}
          onToggle={(event) => {
            const now = event.currentTarget.open;
            if (now !== open) opened.value = { ...opened.value, [id]: now };
          }}
        >
          <summary>
            <span class={`status s${String(answer?.status ?? 0).slice(0, 1)}`}>
              {answer?.status ?? "—"}
            </span>
            <span class="line">{label}</span>
            {call.tenant !== undefined && (
              <span class="tenant">
                <span class="dot" aria-hidden="true" />
                {call.tenant}
              </span>
            )}
            <span class="ms">{time(ms)}</span>
          </summary>
          {open && <Whole exchange={exchange} at={at} />}
        </details>
      </li>
    );
  }
}

function Whole({ exchange, at }: { exchange: Exchange; at: number }) {
  const { call, answer, failure, server } = exchange;
  return (
    <div class="whole">
      <Half
        title="Request"
        line={`${call.method} ${call.path} HTTP/1.1`}
        headers={call.headers}
        body={call.body}
      />
      {answer && (
        <Half
          title="Response"
          line={`HTTP/1.1 ${answer.status}`}
          headers={answer.headers}
          body={answer.body}
        />
      )}
      {failure !== undefined && <p class="notice bad">{failure}</p>}
      <div class="row">
        <button
          type="button"
          class="quiet small"
          onClick={() => void copy(curl(call, server ?? LOCAL), "Command")}
        >
          <Icon name="copy" />
          Copy as curl
        </button>
        <time class="quieter" dateTime={new Date(at).toISOString()}>
          {new Date(at).toLocaleTimeString("en-GB")}
        </time>
      </div>
    </div>
  );
}

interface HalfProps {
  readonly title: string;
  readonly line: string;
  readonly headers: readonly Header[];
  readonly body: string | Uint8Array | undefined;
}

function Half({ title, line, headers, body }: HalfProps) {
  const shown = body === undefined ? "" : text(body);
  const more = shown.length - DRAWN;
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <pre tabIndex={0}>
        <b>{line}</b>
        {headers.map(([name, value]) => `\n${name}: ${value}`).join("")}
        {shown !== "" && `\n\n${shown.slice(0, DRAWN)}`}
        {more > 0 && `… (${size(body).toLocaleString("en")} bytes in all)`}
      </pre>
    </figure>
  );
}
