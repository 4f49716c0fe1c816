// Tenants side by side: sessions, chats and limits.

import assert from "node:assert/strict";

import {
  ACME,
  button,
  card,
  GLOBEX,
  hears,
  INITECH,
  left,
  message,
  meter,
  openSession,
  say,
  talk,
  timer,
} from "../support/person.mjs";
import { startSite, until } from "../support/site.mjs";

const { scene, everywhere } = await startSite();

everywhere("a tenant is told apart by colour, greets, and answers in its own voice", {}, async ({ page }) => {
  const colours = [];
  for (const name of [ACME, GLOBEX, INITECH]) {
    const heading = card(page, name).getByRole("heading", { name });
    colours.push(await heading.evaluate((element) => getComputedStyle(element).color));
  }
  assert.equal(new Set(colours).size, 3, `own colours: ${colours}`);

  const voices = [
    [ACME, "mock-1", "Howdy from Acme!", "olleh"],
    [GLOBEX, "mock-2", "Welcome from Globex.", "HELLO"],
    [INITECH, "mock-3", "Initech says hi.", "Got it. 'hello'"],
  ];
  const sessions = new Set();
  for (const [name, model, welcome, reply] of voices) {
    await card(page, name).getByText(model).waitFor();
    sessions.add(await openSession(page, name));
    await hears(page, name, welcome);
    assert.ok(await message(page, name).evaluate((input) => input === document.activeElement));
    await say(page, name, "hello");
    await hears(page, name, reply);
    assert.equal(await message(page, name).inputValue(), "", "the message was sent, and is gone");
  }
  assert.equal(sessions.size, 3);
});

everywhere("a limit is shown live, refuses once spent, counts down and lets chat again", {
  before: async (page) => {
    await page.clock.install({ time: "2026-03-01T12:00:00Z" });
  },
}, async ({ page }) => {
  await page.clock.pauseAt("2026-03-01T12:01:00Z");
  assert.deepEqual(await left(page, GLOBEX), [4, 4]);
  await openSession(page, GLOBEX);
  assert.deepEqual(await left(page, GLOBEX), [4, 4], "a session costs no chat");
  for (const rest of [3, 2, 1, 0]) {
    await say(page, GLOBEX, `chat with ${rest} to go`);
    await until(() => left(page, GLOBEX), [rest, 4]);
  }
  await say(page, GLOBEX, "one too many");
  await hears(page, GLOBEX, "429");
  await hears(page, GLOBEX, "used up its chats of the last 10 seconds");
  assert.deepEqual(await left(page, ACME), [8, 8], "others have theirs");

  await until(() => timer(page, GLOBEX).innerText(), "10 s");
  await page.clock.runFor(3_000);
  await until(() => timer(page, GLOBEX).innerText(), "7 s");
  await page.clock.runFor(6_750);
  await until(() => timer(page, GLOBEX).innerText(), "1 s");
  await say(page, GLOBEX, "still too early");
  await until(() => talk(page, GLOBEX).getByText("429").count(), 2);
  await page.clock.runFor(500);
  await timer(page, GLOBEX).waitFor({ state: "detached" });
  await until(() => left(page, GLOBEX), [4, 4]);
  await say(page, GLOBEX, "back again");
  await hears(page, GLOBEX, "BACK AGAIN");
  await until(() => left(page, GLOBEX), [3, 4]);
});

everywhere("one button greets all tenants, another spends one's chats", {}, async ({ page }) => {
  await button(page, "Say hello to all").click();
  for (const name of [ACME, GLOBEX, INITECH]) {
    await hears(page, name, `Hello ${name}!`);
    await until(async () => (await left(page, name))[0] < (await left(page, name))[1], true);
  }
  await button(page, `Spend all chats of ${INITECH}`).click();
  await hears(page, INITECH, "429");
  await timer(page, INITECH).waitFor();
  assert.equal(await meter(page, INITECH).getAttribute("aria-valuenow"), "0");
  assert.match(await meter(page, INITECH).getAttribute("aria-valuetext"), /^spent, next in \d+ s$/);
});

scene("a tenant is found by name, hidden and shown again", {}, async ({ page }) => {
  await button(page, `Hide ${GLOBEX}`).click();
  await card(page, GLOBEX).waitFor({ state: "detached" });
  await page.getByText("2 of 3 shown").waitFor();
  const finder = page.getByRole("searchbox", { name: "Find a tenant" });
  await finder.fill("glob");
  await page.getByRole("list", { name: "Tenants found" }).getByRole("button").click();
  await card(page, GLOBEX).waitFor();
  await finder.fill("no such tenant");
  await page.getByText("No tenant has that in its name or id.").waitFor();
});

scene("a second session is another one, and the first one still works elsewhere", {}, async ({ page }) => {
  const first = await openSession(page, ACME);
  await button(page, `Carry ${ACME}’s session to another tenant`).click();
  await button(page, `New session with ${ACME}`).click();
  await until(async () => (await card(page, ACME).getByText(first).count()) === 0, true);
  await say(page, ACME, "new");
  await hears(page, ACME, "wen");
});

scene("any text can be said, and comes back as it was", {}, async ({ page }) => {
  await openSession(page, GLOBEX);
  for (const words of ["", "<b>not bold</b> & 'quotes' \"too\"", "emoji 🦀 ünïcode"]) {
    await say(page, GLOBEX, words);
    await hears(page, GLOBEX, `Echo: ${words.toUpperCase()}`.trim());
  }
});
