// Figures about the package and the page: `node run.mjs --out target/web`. They are printed,
// and nothing is judged: how fast a machine is, is not what a test can know.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { launchChromium } from "../support/chromium.mjs";
import { serveStatic } from "../support/static.mjs";
import { chatMicroseconds, median } from "./calls.mjs";

const NAVIGATIONS = 10;
const SESSIONS = 100_000;

const { values } = parseArgs({ options: { out: { type: "string" } } });
const out = resolve(values.out);
const tenants = readFileSync(join(import.meta.dirname, "../../../tenants.jsonl"), "utf8");
const { Tenantry } = await import(pathToFileURL(join(out, "package/dist/index.js")).href);

function printCalls(where, { ratio, ...times }) {
  const all = Object.entries(times).map(([name, us]) => `${name} ${us.toFixed(2)} us`);
  console.log(`a chat in ${where}: ${all.join(", ")}; ratio ${ratio.toFixed(1)}`);
}

function memory() {
  const before = Tenantry.memoryBytes();
  const app = Tenantry.fromJsonl(tenants, { maxSessions: SESSIONS });
  for (let session = 0; session < SESSIONS; session++) app.createSession("acme");
  const bytes = Tenantry.memoryBytes() - before;
  app.free();
  console.log(
    `${SESSIONS} sessions: ${(bytes / 2 ** 20).toFixed(1)} MiB more of WebAssembly memory, ` +
      `${Math.round(bytes / SESSIONS)} bytes each`,
  );
}

memory();
printCalls("Node", chatMicroseconds(Tenantry, tenants));

/** Runs in a page from its start: does what a person would, as soon as it can be done. */
function hurry() {
  const button = () =>
    [...document.querySelectorAll("button")].find(
      (one) => one.textContent === "Open a session with Acme Corp",
    );
  const input = () => document.querySelector('input[aria-label="Message to Acme Corp"]');
  const steps = [
    () => {
      button()?.click();
      return button() !== undefined;
    },
    () => {
      const box = input();
      if (!box) return false;
      box.value = "first";
      box.dispatchEvent(new Event("input", { bubbles: true }));
      box.form.requestSubmit();
      return true;
    },
    () => document.body.textContent.includes("tsrif"),
  ];
  const observer = new MutationObserver(() => {
    if (!steps[0]()) return;
    steps.shift();
    if (steps.length > 0) return;
    observer.disconnect();
    globalThis.firstChatMs = performance.now();
  });
  observer.observe(document, { childList: true, subtree: true, characterData: true });
}

/** Milliseconds from the start of a navigation to the first reply on the page. */
async function firstChat() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.addInitScript(hurry);
  await page.goto(`${origin}/page/`);
  await page.waitForFunction(() => globalThis.firstChatMs !== undefined);
  const ms = await page.evaluate(() => globalThis.firstChatMs);
  await context.close();
  return ms;
}

const { origin, stop } = await serveStatic({
  "/package/": join(out, "package"),
  "/figures/": import.meta.dirname,
  "/page/": join(out, "page"),
});
const browser = await launchChromium();
try {
  const page = await browser.newPage();
  await page.goto(`${origin}/figures/blank.html`);
  const calls = await page.evaluate(async (text) => {
    const { Tenantry } = await import("/package/dist/index.js");
    const { chatMicroseconds } = await import("/figures/calls.mjs");
    return chatMicroseconds(Tenantry, text);
  }, tenants);
  printCalls("Chromium", calls);
  const times = [];
  for (let navigation = 0; navigation < NAVIGATIONS; navigation++) times.push(await firstChat());
  console.log(
    `navigation to the first chat's reply in Chromium: ${median(times).toFixed(0)} ms ` +
      `(median of ${NAVIGATIONS}, ${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)})`,
  );

} finally {
  await browser.close();
  await stop();
}
