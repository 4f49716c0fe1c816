import { useSignal } from "@preact/signals";

import { greetAll, toggleShown } from "./actions";
import { Card } from "./card";
import { hueOf, log, place, shown, tenants } from "./state";
import type { TenantView } from "./service";
import { tinted } from "./tinted";

/** Matches that the search lists. */
const LISTED = 8;

/** The opening, and the tenants side by side. */
export function Tenants() {
  const busy = useSignal(false);
  const count = tenants.value.length;
  const some = shown.value.length;
  return (
    <section id="tenants" aria-labelledby="tenants-title">
      <div class="opening" id="top">
        <h1>
          {count === 1 ? "One tenant" : `${amount(count)} tenants`}, one service, no way across.
        </h1>
        <p class="lead">
          Each card below is a customer of the same chat service, with its own voice, limit and
          sessions.{" "}
          {place.value === undefined
            ? "The rules that keep them apart are one small WebAssembly program, and it is running in this page."
            : "The rules that keep them apart are running on the server that you chose."}{" "}
          Say hello, then carry one tenant’s session to another: drag it onto a card, or use its
          arrow.
        </p>
        <div class="row">
          <button
            type="button"
            class="primary large"
            disabled={busy.value}
            onClick={() => {
              busy.value = true;
              void greetAll().finally(() => {
                busy.value = false;
              });
            }}
          >
            Say hello to all
          </button>
          {log.value.length > 0 && <a href="#wire">See what went over the wire</a>}
        </div>
      </div>
      <div class="bar">
        <h2 id="tenants-title" tabIndex={-1}>
          Tenants
        </h2>
        <p class="quieter">
          {some} of {count.toLocaleString("en")} shown
        </p>
        <Finder />
      </div>
      {count === 0 && <p class="notice">This server has no tenants to show.</p>}
      <div class="cards">
        {shown.value.map((id) => (
          <Card key={id} id={id} />
        ))}
      </div>
    </section>
  );
}

function amount(count: number): string {
  const words = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"];
  return words[count] ?? count.toLocaleString("en");
}

/** Searches all tenants by id and name, and shows or hides what it finds. */
function Finder() {
  const query = useSignal("");
  const wanted = query.value.trim().toLowerCase();
  const started = performance.now();
  const found = wanted === "" ? [] : matches(tenants.value, wanted);
  const ms = performance.now() - started;
  return (
    <search class="finder">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const first = found[0];
          if (first && !shown.value.includes(first.id)) toggleShown(first.id);
        }}
      >
        <input
          type="search"
          aria-label="Find a tenant"
          placeholder="Find a tenant"
          autocomplete="off"
          spellcheck={false}
          value={query.value}
          onInput={(event) => {
            query.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key === "Escape") query.value = "";
          }}
        />
      </form>
      {wanted !== "" && (
        <div class="found">
          <p class="quieter" role="status">
            {found.length === 0
              ? "No tenant has that in its name or id."
              : `${found.length.toLocaleString("en")} of ${tenants.value.length.toLocaleString("en")}, in ${ms < 0.1 ? "under 0.1" : ms.toFixed(1)} ms`}
          </p>
          <ul aria-label="Tenants found">
            {found.slice(0, LISTED).map(({ id, name }) => (
              <li key={id}>
                <button
                  type="button"
                  class="result"
                  aria-pressed={shown.value.includes(id)}
                  ref={tinted(hueOf(id))}
                  onClick={() => {
                    toggleShown(id);
                  }}
                >
                  <span class="dot" aria-hidden="true" />
                  <span>{name ?? id}</span>
                  {name !== undefined && <code>{id}</code>}
                </button>
              </li>
            ))}
          </ul>
        </div>
      )}
    </search>
  );
}

/** Those whose id or name has the words, those that start with them first. */
function matches(all: readonly TenantView[], wanted: string): TenantView[] {
  const starting: TenantView[] = [];
  const holding: TenantView[] = [];
  for (const tenant of all) {
    const id = tenant.id.toLowerCase();
    const name = (tenant.name ?? "").toLowerCase();
    if (id.startsWith(wanted) || name.startsWith(wanted)) starting.push(tenant);
    else if (id.includes(wanted) || name.includes(wanted)) holding.push(tenant);
  }
  return starting.concat(holding);
}
