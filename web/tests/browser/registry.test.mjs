// The registry: tenants.jsonl in an editor.

import assert from "node:assert/strict";

import { ACME, button, card, editor, hears, openSession, problems, say, sessionOf, toast } from "../support/person.mjs";
import { startSite, until } from "../support/site.mjs";

const { scene, everywhere } = await startSite();

everywhere("problems are shown at their line while typing, with a way there", {}, async ({ page }) => {
  await editor(page).press("Control+End");
  await editor(page).pressSequentially('{"id":"umbrella","welcome":7}');
  const first = problems(page).getByRole("button", { name: /Go to line 4 name: missing/ });
  await first.waitFor();
  await problems(page).getByRole("button", { name: /line 4 welcome: a number instead of a string/ }).waitFor();
  assert.equal(await editor(page).getAttribute("aria-invalid"), "true");
  await editor(page).press("Control+Home");
  await first.click();
  await until(() => editor(page).evaluate((area) => area.value.slice(area.selectionStart).split("\n")[0].slice(0, 16)), '{"id":"umbrella"');
  await button(page, "Discard changes").click();
  await problems(page).waitFor({ state: "detached" });
});

scene("a tenant is added by its form and chats, and those that stay keep their sessions", {}, async ({ page }) => {
  const session = await openSession(page, ACME);
  const form = page.getByRole("form", { name: "Add a tenant" });
  await form.getByLabel("Id").fill("umbrella");
  await form.getByLabel("Name").fill("Umbrella");
  await form.getByLabel("Chats in 10 seconds").fill("2");
  await form.getByRole("button", { name: "Add tenant" }).click();
  await openSession(page, "Umbrella");
  await say(page, "Umbrella", "hello");
  await hears(page, "Umbrella", "[UMBRELLA] Echo: HELLO");
  assert.equal(await sessionOf(page, ACME), session);
  await say(page, ACME, "still here");
  await hears(page, ACME, "ereh llits");
  await form.getByLabel("Id").fill("umbrella");
  await form.getByRole("button", { name: "Add tenant" }).click();
  await form.getByRole("alert").getByText("There is a tenant").waitFor();
});

everywhere("ten thousand tenants are made, searched, measured and undone", {}, async ({ page }) => {
  await button(page, "Make it 10,000").click();
  await page.getByRole("heading", { level: 1, name: "10,000 tenants" }).waitFor();
  const search = page.getByRole("searchbox", { name: "Find a tenant" });
  await search.fill("a");
  const found = page.getByRole("list", { name: "Tenants found" }).getByRole("button").first();
  const name = (await found.locator("span").nth(1).innerText()).trim();
  await search.press("Enter");
  await card(page, name).waitFor();
  await search.press("Escape");
  await page.getByRole("button", { name: "Measure", exact: true }).click();
  await page.getByRole("img", { name: /^Time of a chat over \d+ samples: median [\d.]+ µs.*10,000 tenants/ }).waitFor();
  await button(page, "Back to three").click();
  await page.getByRole("heading", { level: 1, name: "Three tenants" }).waitFor();
  await toast(page).getByRole("button", { name: "Undo" }).click();
  await page.getByRole("heading", { level: 1, name: "10,000 tenants" }).waitFor();
});
