import { useSignal } from "@preact/signals";

import { addTenant, applied, apply, draft, fill, report, sample, text, use } from "./editing";
import { Editor, goTo } from "./editor";
import { Measure } from "./measure";
import type { TenantsProblem } from "./service";
import { median } from "./sampling";
import { time } from "./log";
import { conversations, log, place, tenants, toast } from "./state";
import { own } from "./own";

/** Problems that are listed. */
const LISTED = 100;

/** The tenants file: to look at, to change, to grow, to measure. */
export function Registry() {
  const remote = place.value !== undefined;
  return (
    <section id="registry" aria-labelledby="registry-title">
      <div class="bar">
        <h2 id="registry-title">Registry</h2>
        <p class="quieter">
          {tenants.value.length.toLocaleString("en")}{" "}
          {tenants.value.length === 1 ? "tenant" : "tenants"} running
        </p>
      </div>
      <p class="lead">
        A tenant is one line of <code>tenants.jsonl</code>. There is nothing to deploy and nothing
        to provision: add a line, and it can chat.
      </p>
      {remote ? (
        <Remote />
      ) : (
        <>
          <Local />
          <Measure />
        </>
      )}
    </section>
  );
}

function Local() {
  return (
    <div class="registry">
      <div class="panel">
        <Editor
          value={draft}
          problems={report.value.found.problems}
          label="tenants.jsonl"
          describedBy="registry-state"
        />
        <State />
        <div class="row">
          <button
            type="button"
            class="primary"
            disabled={applied.value}
            onClick={() =>
              void apply().then((done) => {
                if (done)
                  toast.value = { text: "Applied. Tenants that stayed kept their sessions." };
              })
            }
          >
            Apply
          </button>
          <button
            type="button"
            class="quiet"
            disabled={applied.value}
            onClick={() => {
              draft.value = text.value;
            }}
          >
            Discard changes
          </button>
          <span class="gap" />
          <button type="button" onClick={() => void fill(10_000)}>
            Make it 10,000
          </button>
          <button
            type="button"
            class="quiet"
            disabled={text.value === sample && applied.value}
            onClick={() => {
              const before = draft.value;
              void use(sample, "").then(() => {
                toast.value = {
                  text: "Back to the first three tenants",
                  undo: () => void use(before, "The other tenants are back"),
                };
              });
            }}
          >
            Back to three
          </button>
        </div>
      </div>
      <AddTenant />
    </div>
  );
}

/** What the check of the draft says, with a way to each line. */
function State() {
  const { problems, warnings, tenants: count } = report.value.found;
  return (
    <div id="registry-state">
      <p class="quieter" role="status">
        {problems.length > 0
          ? `${problems.length.toLocaleString("en")} ${problems.length === 1 ? "problem" : "problems"}. The running tenants stay as they are until it is mended.`
          : `${count.toLocaleString("en")} ${count === 1 ? "tenant" : "tenants"}, no problems${applied.value ? ", all running." : ". Not applied yet."}`}
      </p>
      <Problems label="Problems" bad={true} list={problems} />
      <Problems label="Warnings" bad={false} list={warnings} />
    </div>
  );
}

function Problems({
  label,
  bad,
  list,
}: {
  label: string;
  bad: boolean;
  list: readonly TenantsProblem[];
}) {
  if (list.length === 0) return null;
  return (
    <ul class={bad ? "problems bad" : "problems"} aria-label={label}>
      {list.slice(0, LISTED).map((problem, index) => {
        const { line, member, message } = problem;
        const said = `${member === undefined ? "" : `${member}: `}${message}`;
        return (
          <li key={index}>
            {line === undefined ? (
              said
            ) : (
              <button
                type="button"
                class="result"
                onClick={() => {
                  goTo(line);
                }}
              >
                <span class="hidden">Go to </span>
                <b>line {line}</b> {said}
              </button>
            )}
          </li>
        );
      })}
      {list.length > LISTED && (
        <li class="quieter">and {(list.length - LISTED).toLocaleString("en")} more</li>
      )}
    </ul>
  );
}

/** A row by form. */
function AddTenant() {
  const problem = useSignal("");
  return (
    <form
      class="panel stack add"
      aria-labelledby="add-title"
      onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const field = (name: string) => {
          const input = form.elements.namedItem(name);
          return input instanceof HTMLInputElement || input instanceof HTMLSelectElement
            ? input.value.trim()
            : "";
        };
        const id = field("id");
        const limit = field("limit");
        if (tenants.value.some((tenant) => tenant.id === id)) {
          problem.value = `There is a tenant “${id}” already. Choose another id, or edit its line.`;
          return;
        }
        const name = field("name") || id;
        void addTenant({
          id,
          name,
          welcome: field("welcome") || `Welcome to ${name}.`,
          ...(limit === "" ? {} : { limits: { chat_per_10s: Number(limit) } }),
          reply: { style: field("style"), tag: id.toUpperCase() },
        }).then((why) => {
          problem.value = why === undefined ? "" : `Not added. ${why}`;
          if (why === undefined) form.reset();
        });
      }}
    >
      <h3 id="add-title">Add a tenant</h3>
      <label class="field">
        Id
        <input name="id" required autocomplete="off" spellcheck={false} placeholder="umbrella" />
      </label>
      <label class="field">
        Name
        <input name="name" autocomplete="off" placeholder="Umbrella" />
      </label>
      <label class="field">
        Welcome
        <input name="welcome" autocomplete="off" placeholder="Good day." />
      </label>
      <label class="field">
        Reply style
        <select name="style">
          <option value="upper">answers in capitals</option>
          <option value="reverse">reverses what it hears</option>
          <option value="ack">acknowledges</option>
        </select>
      </label>
      <label class="field">
        Chats in 10 seconds
        <input
          name="limit"
          type="number"
          min="0"
          max="4294967295"
          step="1"
          placeholder="no limit"
        />
      </label>
      <div role="alert">{problem.value && <p class="notice bad">{problem.value}</p>}</div>
      <button type="submit" class="primary">
        Add tenant
      </button>
    </form>
  );
}

/** What is known of a server's file, to look at. */
function Remote() {
  const rows = tenants.value.map(({ id }) => {
    const { name, welcome, model } = own(conversations.value, id) ?? {};
    return JSON.stringify({ id, name, welcome, model });
  });
  const known = useSignal("");
  const now = rows.map((row) => `${row}\n`).join("");
  if (known.peek() !== now) known.value = now;
  const times = log.value.flatMap(({ call, answer, ms }) =>
    call.path === "/chat" && answer?.status === 200 ? [ms] : [],
  );
  const middle = median(times);
  return (
    <div class="panel stack">
      <p class="notice">
        This is read-only: a server reads its file when it starts, and no request can change it. The
        rows show what its answers have told so far. To edit tenants, run the service in this page.
      </p>
      <Editor value={known} problems={[]} label="tenants.jsonl" readOnly />
      <p class="quieter">
        {middle === undefined
          ? "No chat with the server has been timed yet."
          : `Median time of a chat with the server, network and all: ${time(middle)}, over ${times.length} on the wire.`}
      </p>
    </div>
  );
}
