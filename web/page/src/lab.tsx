import { useSignal } from "@preact/signals";

import { open, send } from "./actions";
import { detail, type Exchange } from "./exchange";
import { type Experiment, experiments, type Subject } from "./experiments";
import { conversations, hueOf, nameOf, shown, tenants, toast } from "./state";
import { own } from "./own";
import { tinted } from "./tinted";

interface Outcome {
  readonly exchange: Exchange;
  readonly why: string;
}

/** Attempts to get where one should not, and what comes of them. */
export function Lab() {
  const from = useSignal<string | undefined>(undefined);
  const to = useSignal<string | undefined>(undefined);
  const outcomes = useSignal<Readonly<Record<string, Outcome>>>({});
  const busy = useSignal(false);
  const ids = choices();
  const source = ids.find((id) => id === from.value) ?? ids[0];
  const target = ids.find((id) => id === to.value) ?? ids.find((id) => id !== source) ?? ids[0];

  const run = async (chosen: readonly Experiment[]) => {
    if (source === undefined || target === undefined) return;
    busy.value = true;
    try {
      await attempt(chosen, source, target);
    } finally {
      busy.value = false;
    }
  };
  const attempt = async (chosen: readonly Experiment[], source: string, target: string) => {
    const subjects = [await subject(source), await subject(target)] as const;
    const [a, b] = subjects;
    if (!a || !b) {
      toast.value = {
        text: "No session could be opened for the attempt: the card says why.",
        bad: true,
      };
      return;
    }
    for (const experiment of chosen) {
      const exchange = await send(experiment.call(a, b));
      if (!exchange) return;
      outcomes.value = {
        ...outcomes.value,
        [experiment.key]: { exchange, why: why(experiment, exchange, a, b) },
      };
    }
  };
  const picker = (label: string, value: string | undefined, set: (id: string) => void) => (
    <label class="field inline">
      {label}
      <select
        value={value}
        onChange={(event) => {
          set(event.currentTarget.value);
        }}
      >
        {ids.map((id) => (
          <option key={id} value={id}>
            {nameOf(id)}
          </option>
        ))}
      </select>
    </label>
  );

  return (
    <section id="isolation" aria-labelledby="isolation-title">
      <div class="bar">
        <h2 id="isolation-title">Isolation lab</h2>
      </div>
      <p class="lead">
        Try to get in where you should not. Every attempt is a real request; the answer comes from
        the same rules as every other.
      </p>
      <div class="panel">
        <div class="row lab-row">
          {picker("Session of", source, (id) => {
            from.value = id;
          })}
          {picker("Used with", target, (id) => {
            to.value = id;
          })}
          <button
            type="button"
            class="primary"
            disabled={busy.value}
            onClick={() => void run(experiments)}
          >
            Try everything
          </button>
        </div>
        <ul class="experiments" aria-label="Attempts">
          {experiments.map((experiment) => (
            <Attempt
              key={experiment.key}
              experiment={experiment}
              outcome={outcomes.value[experiment.key]}
              busy={busy.value}
              run={() => void run([experiment])}
            />
          ))}
        </ul>
      </div>
    </section>
  );
}

/** Whom to choose from: those side by side, and the first of the others. */
function choices(): string[] {
  const all = [...shown.value, ...tenants.value.slice(0, 8).map(({ id }) => id)];
  return [...new Set(all)];
}

/** A tenant with a session, opened if there is none yet. */
async function subject(id: string): Promise<Subject | undefined> {
  const { session, ended } = own(conversations.value, id) ?? {};
  const usable = session !== undefined && !ended ? session : await open(id);
  return usable === undefined ? undefined : { id, name: nameOf(id), session: usable };
}

function why(
  experiment: Experiment,
  { answer, failure }: Exchange,
  from: Subject,
  to: Subject,
): string {
  if (!answer) return failure ?? "";
  if (answer.status === experiment.expected) return experiment.why(from, to);
  if (experiment.key === "neighbour" && from.id === to.id) {
    return "Both are the same tenant, so this is simply a chat. Choose two different ones.";
  }
  return `This service answers otherwise than its contract says (${experiment.expected}). It may be set up differently, or be another version.`;
}

interface AttemptProps {
  readonly experiment: Experiment;
  readonly outcome: Outcome | undefined;
  readonly busy: boolean;
  readonly run: () => void;
}

function Attempt({ experiment, outcome, busy, run }: AttemptProps) {
  const { key, title, text, expected } = experiment;
  const answer = outcome?.exchange.answer;
  const about = outcome?.exchange.call.tenant;
  return (
    <li
      class="experiment"
      aria-labelledby={`attempt-${key}`}
      ref={tinted(about === undefined ? 0 : hueOf(about))}
    >
      <div>
        <h3 id={`attempt-${key}`}>{title}</h3>
        <p class="quieter">{text}</p>
      </div>
      <button type="button" aria-label={`Try it: ${title}`} disabled={busy} onClick={run}>
        Try it
      </button>
      <div class="outcome" role="status">
        {outcome && (
          <>
            <p>
              <span class={answer?.status === expected ? "status good" : "status"}>
                {answer?.status ?? "—"}
              </span>{" "}
              <strong>{answer ? detail(answer) : "No answer"}</strong>
            </p>
            <p>{outcome.why}</p>
          </>
        )}
      </div>
    </li>
  );
}
