// What outlives a reload, what tabs share, and how it is all undone.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { out } from "../support/built.mjs";
import { ACME, button, GLOBEX, hears, left, openSession, say, sessionOf, toast } from "../support/person.mjs";
import { startSite, until } from "../support/site.mjs";

const { scene, everywhere } = await startSite();

everywhere("sessions, conversations and limits outlive a reload; reset is one click, with undo", {}, async ({ page }) => {
  const session = await openSession(page, ACME);
  await say(page, ACME, "before");
  await hears(page, ACME, "erofeb");
  await page.reload();
  await hears(page, ACME, "erofeb");
  assert.equal(await sessionOf(page, ACME), session);
  await say(page, ACME, "after");
  await hears(page, ACME, "retfa");
  await button(page, "Reset").click();
  await button(page, `Open a session with ${ACME}`).waitFor();
  await toast(page).getByRole("button", { name: "Undo" }).click();
  await until(() => sessionOf(page, ACME), session);
  await say(page, ACME, "again");
  await hears(page, ACME, "niaga");
});

scene("two tabs share what is left of a limit, and no session is lost", {}, async ({ page, context, place }) => {
  await openSession(page, GLOBEX);
  const other = await context.newPage();
  await other.goto(place.url);
  const theirs = await openSession(other, ACME);
  for (const tab of [page, other, page, other]) {
    await say(tab, GLOBEX, "one");
    await tab.getByRole("log", { name: `Conversation with ${GLOBEX}` }).getByText("Echo: ONE").last().waitFor();
  }
  await say(page, GLOBEX, "too many");
  await hears(page, GLOBEX, "429");
  assert.equal((await left(page, GLOBEX))[0], 0);
  const kept = (id) => page.evaluate((name) => localStorage.getItem(name), `tenantry:session:${id}`);
  assert.ok((await kept(theirs))?.includes("acme"));
});

scene(
  "without a storage the page works",
  {
    before: (page) =>
      page.addInitScript(() => {
        Object.defineProperty(globalThis, "localStorage", {
          get() {
            throw new DOMException("no", "SecurityError");
          },
        });
      }),
  },
  async ({ page }) => {
    await openSession(page, ACME);
    await say(page, ACME, "hello");
    await hears(page, ACME, "olleh");
  },
);

everywhere("what a full storage can't keep is refused, and what is there goes on", {}, async ({ page }) => {
  await openSession(page, ACME);
  await page.evaluate(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
  });
  await button(page, `Open a session with ${GLOBEX}`).click();
  await hears(page, GLOBEX, "503");
  await hears(page, GLOBEX, "full or out of reach");
  await page.reload();
  await button(page, `Open a session with ${GLOBEX}`).waitFor();
  await say(page, ACME, "hello");
  await hears(page, ACME, "olleh");
});

scene("what something else wrote over costs one session, and reset mends it", {}, async ({ page }) => {
  const session = await openSession(page, ACME);
  await openSession(page, GLOBEX);
  await page.evaluate((id) => {
    localStorage.setItem(`tenantry:session:${id}`, "?");
    localStorage.setItem("tenantry-page:draft", "\u0000 no tenants");
    localStorage.setItem("tenantry-page:place", "?");
  }, session);
  await page.reload();
  await say(page, ACME, "hello");
  await hears(page, ACME, "503");
  await say(page, GLOBEX, "hello");
  await hears(page, GLOBEX, "HELLO");
  await button(page, "Reset").click();
  await openSession(page, ACME);
  await say(page, ACME, "hello");
  await hears(page, ACME, "olleh");
});

everywhere("the footer has the version, and the hash of the module", {}, async ({ page }) => {
  const name = readdirSync(join(out, "page")).find((file) => file.endsWith(".wasm"));
  const hash = createHash("sha256").update(readFileSync(join(out, "page", name))).digest("hex");
  const { version } = JSON.parse(readFileSync(join(out, "package/package.json"), "utf8"));
  const text = await page.getByRole("contentinfo").innerText();
  assert.ok(text.includes(`Tenantry ${version}`) && text.includes(hash.slice(0, 12)), text);
});
