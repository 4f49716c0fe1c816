// The page in Chromium, wherever people find it: each test has a context of its own and fails
// on anything that the page complains about or asks of others.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

import { out } from "./built.mjs";
import { launchChromium } from "./chromium.mjs";
import { startServer } from "./server.mjs";
import { serveStatic } from "./static.mjs";

/** How long anything may take before a test gives up. */
const PATIENCE_MS = 15_000;

/** Where a static host may well have the page. */
export const DEEP = "/some/deep/path/";

/** Starts the places that have the page; the test file's end stops them. */
export async function startPlaces() {
  const folder = join(out, "page");
  const host = await serveStatic({ [DEEP]: folder });
  after(host.stop);
  const server = await startServer("--demo", folder, "--cors-origin", `${host.origin},null`);
  after(server.stop);
  const places = {
    folder: { name: "folder on a static host", url: host.origin + DEEP },
    file: { name: "single file from disk", url: pathToFileURL(join(out, "tenantry.html")).href },
    demo: { name: "server's own page", url: `${server.origin}/demo/` },
  };
  return { host, server, places };
}

/** Starts the places, and Chromium; the test file's end stops them. */
export async function startSite() {
  const { host, server, places } = await startPlaces();
  const browser = await launchChromium();
  after(() => browser.close());

  /**
   * A test with a page that is open. Options: `place`, by default the folder; `context` for the
   * browser; `before(page)` to prepare it; `origins` of servers that may be asked, too;
   * `expected` complaints, each of which must come.
   */
  function scene(name, options, body) {
    const { place = places.folder, context: settings = {}, origins = [], expected = [] } = options;
    test(name, async () => {
      const context = await browser.newContext({ viewport: { width: 1440, height: 1200 }, ...settings });
      context.setDefaultTimeout(PATIENCE_MS);
      try {
        const complaints = await listen(context, place, origins);
        const page = await context.newPage();
        await options.before?.(page);
        await page.goto(place.url);
        await page.getByRole("heading", { level: 1, name: "no way across" }).waitFor();
        await body({ page, context, place });
        const seen = await Promise.all(context.pages().map(violations));
        const all = [...complaints, ...seen.flat()];
        const unexpected = all.filter((text) => !expected.some((one) => one.test(text)));
        assert.deepEqual(unexpected, [], "the page complains");
        for (const one of expected) {
          assert.ok(all.some((text) => one.test(text)), `expected complaint ${one} did not come`);
        }
      } finally {
        await context.close();
      }
    });
  }

  /** The same test in every place. */
  function everywhere(name, options, body) {
    for (const place of Object.values(places)) {
      scene(`${name} (${place.name})`, { ...options, place }, body);
    }
  }

  return { browser, host, server, places, scene, everywhere };
}

/** Collects what nobody wants to see: errors, and requests to others. */
async function listen(context, place, origins) {
  const complaints = [];
  context.on("console", (message) => {
    if (!["error", "warning"].includes(message.type())) return;
    const { url } = message.location();
    // What a server refuses, Chromium calls an error.
    const refused = /^Failed to load resource: the server responded with a status of 4/;
    if (refused.test(message.text()) && origins.includes(new URL(url).origin)) return;
    complaints.push(`${message.type()}: ${message.text()} ${url}`);
  });
  context.on("weberror", (error) => complaints.push(`page error: ${error.error().stack}`));
  context.on("request", (request) => {
    const url = request.url();
    const { origin, protocol } = new URL(url);
    // The page's own server is asked whether it is one, to be offered.
    const own = protocol === "file:" ? url.split("#")[0] === place.url : url.startsWith(place.url);
    const home = place.url.endsWith("/demo/") && url === new URL("..", place.url).href;
    const inside = own || home || protocol === "data:" || protocol === "blob:";
    if (!inside && !origins.includes(origin)) complaints.push(`request to ${url}`);
  });
  await context.addInitScript(() => {
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.violations.push(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return complaints;
}

const violations = (page) => page.evaluate(() => globalThis.violations);

/** Waits until `read` returns what is wanted; fails with the last difference. */
export async function until(read, wanted) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await read();
    try {
      assert.deepEqual(found, wanted);
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
