// Everybody: assistive technology, small and large screens, and a policy that allows little.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { out } from "../support/built.mjs";
import { ACME, attempt, button, GLOBEX, hears, openSession } from "../support/person.mjs";
import { startSite } from "../support/site.mjs";

const { scene } = await startSite();
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function inUse(page) {
  await openSession(page, ACME);
  await openSession(page, GLOBEX);
  await button(page, `Spend all chats of ${GLOBEX}`).click();
  await hears(page, GLOBEX, "429");
  await attempt(page, "Malformed JSON").getByRole("button").click();
}

for (const colorScheme of ["light", "dark"]) {
  for (const viewport of [{ width: 1440, height: 1200 }, { width: 390, height: 844 }]) {
    scene(
      `nothing stands in the way of assistive technology (${colorScheme}, ${viewport.width} wide)`,
      { context: { colorScheme, viewport, reducedMotion: "reduce", bypassCSP: true } },
      async ({ page }) => {
        await inUse(page);
        await page.addScriptTag({ content: axe });
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0]?.html]), []);
      },
    );
  }
}

for (const width of [360, 768, 1280, 2560]) {
  scene(`nothing is wider than the screen (${width})`, { context: { viewport: { width, height: 900 } } }, async ({ page }) => {
    await inUse(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} pixels`);
  });
}

scene("the theme is the system's, until it is chosen", { context: { colorScheme: "dark" } }, async ({ page }) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).color);
  const dark = await ground();
  await button(page, "Dark theme").click();
  const light = await ground();
  assert.notEqual(light, dark);
  await page.reload();
  await button(page, "Dark theme").waitFor();
  assert.equal(await ground(), light);
});

scene("the policy of the folder allows nothing inline, and every address is relative", {}, async ({ page }) => {
  const html = readFileSync(join(out, "page/index.html"), "utf8");
  const policy = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/i.exec(html)?.[1] ?? "";
  assert.ok(policy.includes("default-src 'none'"), policy);
  assert.ok(policy.includes("script-src 'self' 'wasm-unsafe-eval'"), policy);
  assert.ok(!policy.includes("unsafe-inline") && !policy.includes("'unsafe-eval'"), policy);
  for (const [, address] of html.matchAll(/(?:href|src)="([^"]+)"/g)) {
    assert.match(address, /^[\w-]+\.\w+$/);
  }
  assert.ok(await page.title());
});
