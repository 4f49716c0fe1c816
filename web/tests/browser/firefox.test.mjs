// The page in another browser: what a first visitor does, and that nothing complains.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { ACME, GLOBEX } from "../support/person.mjs";
import { firefoxPath, launchFirefox } from "../support/firefox.mjs";
import { startPlaces } from "../support/site.mjs";

const { places } = await startPlaces();
const skip = firefoxPath() === undefined && "there is no Firefox; FIREFOX may name one";

describe("Firefox", { skip }, () => {
  let browser;
  before(async () => {
    browser = await launchFirefox();
  });
  after(() => browser?.close());

  for (const { name, url } of Object.values(places)) {
    test(`opens sessions, chats, and is refused across tenants (${name})`, async () => {
      const page = await browser.newPage();
      const complaints = [];
      page.on("pageerror", (error) => complaints.push(error.stack ?? String(error)));
      page.on("console", (line) => {
        if (["error", "warn"].includes(line.type())) complaints.push(line.text());
      });
      page.setDefaultTimeout(30_000);
      const press = (label) => page.locator(`::-p-aria([name="${label}"][role="button"])`).click();
      const hears = (tenant, words) =>
        page.locator(`[aria-label="Conversation with ${tenant}"] ::-p-text(${words})`).wait();
      try {
        await page.goto(url);
        await press(`Open a session with ${ACME}`);
        await hears(ACME, "Howdy from Acme!");
        const input = page.locator(`::-p-aria([name="Message to ${ACME}"][role="textbox"])`);
        await input.fill("hello");
        await page.keyboard.press("Enter");
        await hears(ACME, "olleh");
        await press(`Carry ${ACME}’s session to another tenant`);
        await press(`Carry to ${GLOBEX}`);
        await hears(GLOBEX, "Session does not belong to tenant");
        await page.reload();
        await hears(ACME, "olleh");
        assert.deepEqual(complaints, []);
      } finally {
        await page.evaluate(() => localStorage.clear()).catch(() => undefined);
        await page.close();
      }
    });
  }
});
