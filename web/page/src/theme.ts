//! Light or dark: the system's choice until this page's button says otherwise.

import { computed, effect, signal } from "@preact/signals";

import { read, write } from "./store";

const system = window.matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", (event) => {
  systemDark.value = event.matches;
});

const kept = read("theme");
/** What was chosen here; none to follow the system. */
const chosen = signal(kept === "dark" || kept === "light" ? kept : undefined);

export const dark = computed(() =>
  chosen.value === undefined ? systemDark.value : chosen.value === "dark",
);

effect(() => {
  document.documentElement.style.colorScheme = dark.value ? "dark" : "light";
  write("theme", chosen.value);
});

export function toggleTheme(): void {
  const next = dark.value ? "light" : "dark";
  chosen.value = next === (systemDark.value ? "dark" : "light") ? undefined : next;
}
