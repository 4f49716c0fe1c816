//! The tenants file of the service in this page: its text, what is wrong with it, applying it.

import { batch, computed, effect, signal } from "@preact/signals";

import sample from "../../../tenants.jsonl";
import { appended, filled, type Row } from "./generate";
import { check, PageService, type TenantsReport } from "./service";
import {
  askQuotas,
  conversations,
  pageService,
  place,
  service,
  setView,
  shown,
  tenants,
  toast,
} from "./state";
import { read, storage, write } from "./store";

export { sample };

/** The text that the service runs with. */
export const text = signal(sample);
/** The text in the editor. */
export const draft = signal(sample);
export const applied = computed(() => draft.value === text.value);

const NOTHING: TenantsReport = { tenants: 0, problems: [], warnings: [] };
/** What a check of the draft found, and the text that it was. */
export const report = signal({ text: "", found: NOTHING });

/** Texts longer than this are checked and kept only once typing pauses. */
const LONG = 100_000;
const PAUSE_MS = 250;

/** Checks drafts from now on; the program must be loaded. */
export function startChecking(): void {
  effect(() => {
    const checked = draft.value;
    const run = () => {
      report.value = { text: checked, found: check(checked) };
      write("draft", checked === text.peek() ? undefined : checked);
    };
    if (checked.length < LONG) {
      run();
      return;
    }
    const timer = setTimeout(run, PAUSE_MS);
    return () => {
      clearTimeout(timer);
    };
  });
}

/** The draft's report, made now if it is not the latest. */
function reportNow(): TenantsReport {
  if (report.value.text !== draft.value) {
    report.value = { text: draft.value, found: check(draft.value) };
  }
  return report.value.found;
}

/** Starts the service in this page with what the last visit left. */
export function startService(): PageService {
  const kept = read("text");
  const unapplied = read("draft");
  let started: PageService | undefined;
  if (kept !== undefined && check(kept).problems.length === 0) {
    started = PageService.start(kept, storage);
    text.value = kept;
  }
  draft.value = unapplied ?? text.value;
  return started ?? PageService.start(sample, storage);
}

/** Lets the service run with the draft. Returns whether it does. */
export async function apply(): Promise<boolean> {
  const running = pageService.value;
  if (!running) return false;
  const { problems } = reportNow();
  if (problems.length > 0) {
    toast.value = {
      text: "Not applied: the file has problems. The list below names each.",
      bad: true,
    };
    return false;
  }
  running.apply(draft.value, storage);
  text.value = draft.value;
  write("text", text.value === sample ? undefined : text.value);
  write("draft", undefined);
  await showTenants();
  return true;
}

/** Asks the service for its tenants, and forgets conversations with those that are gone. */
export async function showTenants(): Promise<void> {
  const asked = service.value;
  const listed = await asked?.tenants();
  if (!listed || !("tenants" in listed) || service.value !== asked) return;
  batch(() => {
    tenants.value = listed.tenants;
    const there = new Set(listed.tenants.map(({ id }) => id));
    const open = Object.entries(conversations.value);
    if (open.some(([id]) => !there.has(id))) {
      setView({ conversations: Object.fromEntries(open.filter(([id]) => there.has(id))) });
    }
    askQuotas();
  });
}

/** Appends a row, applies the file and shows the tenant. Returns what is wrong instead. */
export async function addTenant(row: Row): Promise<string | undefined> {
  const before = draft.value;
  const next = appended(before, [JSON.stringify(row)]);
  const problem = check(next).problems[0];
  if (problem) return `${problem.member ?? `Line ${problem.line ?? 1}`}: ${problem.message}`;
  draft.value = next;
  const showing = shown.value;
  if ((await apply()) && place.value === undefined) {
    setView({ shown: [...showing, row.id] });
    askQuotas();
    toast.value = {
      text: `${row.name} is a tenant now`,
      undo: () => void use(before, "Taken back"),
    };
  }
  return undefined;
}

/** Fills the file up to so many tenants, and applies it. */
export async function fill(total: number): Promise<void> {
  const before = draft.value;
  const { problems, tenants: has } = reportNow();
  if (problems.length > 0) {
    toast.value = { text: "The file has problems; mend them first", bad: true };
    return;
  }
  const started = performance.now();
  draft.value = filled(before, has, total);
  if (await apply()) {
    const ms = Math.round(performance.now() - started);
    const count = tenants.value.length.toLocaleString("en");
    toast.value = {
      text: `${count} tenants, made, checked and applied in ${ms} ms`,
      undo: () => void use(before, "Back to the tenants before"),
    };
  }
}

/** Puts a text into the editor and applies it. */
export async function use(next: string, done: string): Promise<void> {
  draft.value = next;
  if (await apply()) toast.value = { text: done };
}
