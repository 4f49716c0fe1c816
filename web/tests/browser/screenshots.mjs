// Pictures of the page in use: `node screenshots.mjs --out DIR` writes DIR/screenshots.

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { launchChromium } from "../support/chromium.mjs";
import { ACME, button, card, GLOBEX, hears, INITECH, openSession, say } from "../support/person.mjs";

const PICTURES = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "light" },
  wide: { viewport: { width: 2560, height: 1300 }, colorScheme: "light" },
};

const { values } = parseArgs({ options: { out: { type: "string" } } });
const out = resolve(values.out);
const folder = join(out, "screenshots");
mkdirSync(folder, { recursive: true });
const browser = await launchChromium();
try {
  for (const [name, settings] of Object.entries(PICTURES)) {
    const page = await browser.newPage({ ...settings, reducedMotion: "reduce" });
    await page.goto(pathToFileURL(join(out, "tenantry.html")).href);
    for (const tenant of [ACME, GLOBEX, INITECH]) await openSession(page, tenant);
    for (const tenant of [ACME, GLOBEX, INITECH]) {
      await say(page, tenant, "Good morning");
      await hears(page, tenant, "Good morning");
    }
    await button(page, `Spend all chats of ${GLOBEX}`).click();
    await hears(page, GLOBEX, "429");
    await button(page, `Carry ${ACME}’s session to another tenant`).click();
    await card(page, ACME).getByRole("button", { name: `Carry to ${INITECH}` }).click();
    await hears(page, INITECH, "403");
    await button(page, `Carry ${ACME}’s session to another tenant`).click();
    await page.getByRole("heading", { name: "Tenants", exact: true }).evaluate((heading) => {
      scrollTo({ top: heading.getBoundingClientRect().top + scrollY - 76, behavior: "instant" });
    });
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.close();
    console.log(join(folder, `${name}.png`));
  }
} finally {
  await browser.close();
}
