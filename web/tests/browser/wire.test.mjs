// The wire: what every action really sends and gets.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";

import { ACME, attempt, button, exchanges, GLOBEX, hears, newest, openSession, say } from "../support/person.mjs";
import { startSite, until } from "../support/site.mjs";

const { scene, everywhere, server } = await startSite();

everywhere("every action shows its request and its response", {}, async ({ page }) => {
  const session = await openSession(page, ACME);
  await say(page, ACME, "hello");
  await hears(page, ACME, "olleh");
  const { request, response } = await newest(page);
  assert.match(request.line, /^POST .*\/chat HTTP\/1.1$/);
  assert.equal(request.headers["content-type"], "application/json");
  assert.deepEqual(JSON.parse(request.body), { tenant_id: "acme", session_id: session, message: "hello" });
  assert.equal(response.line, "HTTP/1.1 200");
  assert.equal(response.headers["ratelimit-policy"], '"chat";q=8;w=10');
  assert.equal(JSON.parse(response.body).model, "mock-1");
});

scene(
  "what is copied as curl does the same at a real server",
  { context: { permissions: ["clipboard-read", "clipboard-write"] } },
  async ({ page }) => {
    await openSession(page, GLOBEX);
    const answer = await fetch(`${server.origin}/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"tenant_id":"globex"}',
    });
    const { session_id: real } = await answer.json();
    const words = "it's \"$HOME\" `id` !! \\ 🦀";
    await say(page, GLOBEX, words);
    await hears(page, GLOBEX, words.toUpperCase());
    const { request, response } = await newest(page);
    await exchanges(page).first().getByRole("button", { name: "Copy as curl" }).click();
    await until(async () => (await page.evaluate(() => navigator.clipboard.readText())).startsWith("curl"), true);
    const command = (await page.evaluate(() => navigator.clipboard.readText()))
      .replace("http://127.0.0.1:8001", server.origin)
      .replace(JSON.parse(request.body).session_id, real);
    const printed = execFileSync("bash", ["-c", command], { encoding: "utf8" });
    const said = JSON.parse(printed.slice(printed.indexOf("{")));
    assert.equal(said.reply, JSON.parse(response.body).reply);
  },
);

scene("the log is filtered by tenant, status and text, and exported", {}, async ({ page }) => {
  await openSession(page, ACME);
  await openSession(page, GLOBEX);
  await say(page, GLOBEX, "needle");
  await hears(page, GLOBEX, "NEEDLE");
  await attempt(page, "An unknown tenant").getByRole("button").click();
  await until(async () => (await newest(page)).response.line, "HTTP/1.1 404");
  const filter = page.getByRole("search", { name: "Filter the wire" });
  await filter.getByLabel("Status").selectOption("4xx");
  await until(() => exchanges(page).count(), 1);
  await filter.getByLabel("Status").selectOption("Any status");
  await filter.getByLabel("Text").fill("needle");
  await until(() => exchanges(page).count(), 1);
  await filter.getByLabel("Text").fill("");
  await filter.getByLabel("Tenant").selectOption("globex");
  await until(() => exchanges(page).count(), 2);
  const [download] = await Promise.all([page.waitForEvent("download"), button(page, "Export JSON").click()]);
  const exported = JSON.parse(await readFile(await download.path(), "utf8"));
  assert.ok(JSON.stringify(exported).includes("needle"));
});
