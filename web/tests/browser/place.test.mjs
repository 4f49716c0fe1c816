// Where the service runs: in the page, or on a server by URL.

import assert from "node:assert/strict";
import { after } from "node:test";

import {
  ACME,
  attempt,
  button,
  card,
  connect,
  GLOBEX,
  hears,
  INITECH,
  left,
  message,
  newest,
  openSession,
  say,
  sessionOf,
  timer,
  toast,
} from "../support/person.mjs";
import { startServer } from "../support/server.mjs";
import { startSite, until } from "../support/site.mjs";

const { scene, everywhere, host, places, server } = await startSite();
const closed = await startServer();
after(closed.stop);
const origins = [server.origin, closed.origin, host.origin];

/** A server of a test's own, that nobody else uses limits of, and how to stop it. */
async function started() {
  const { origin, stop } = await startServer("--cors-origin", "*");
  after(stop);
  origins.push(origin);
  return [origin, stop];
}

/** Asks the server itself, not through the page. */
async function ask(origin, path, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(origin + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
}

const chip = (page, text) => page.getByRole("button", { name: text, exact: true });

/** Opens a session with a tenant of which no more than the id is known yet. */
async function openById(page, id, name) {
  await button(page, `Open a session with ${id}`).click();
  await message(page, name).waitFor();
  return sessionOf(page, name);
}

everywhere("the same page drives a real server, which remembers what it was told", { origins }, async ({ page }) => {
  const [origin] = await started();
  await connect(page, origin);
  await toast(page).getByText(`Connected to ${origin}`).waitFor();
  await chip(page, `Runs on ${new URL(origin).host}`).waitFor();

  const session = await openById(page, "acme", ACME);
  await say(page, ACME, "hello");
  await hears(page, ACME, "olleh");
  const { response } = await newest(page);
  assert.equal(response.line, "HTTP/1.1 200");
  assert.match(response.headers.ratelimit, /^"chat";r=\d+;t=\d+$/, "it may be read by pages");
  const said = await ask(origin, "/chat", {
    tenant_id: "acme",
    session_id: session,
    message: "from elsewhere",
  });
  assert.equal(said.status, 200, "the session is the server's");

  await page.reload();
  await hears(page, ACME, "olleh");
  assert.equal(await sessionOf(page, ACME), session);
  await say(page, ACME, "again");
  await hears(page, ACME, "niaga");

  await button(page, `Runs on ${new URL(origin).host}`).click();
  await page.getByRole("radio", { name: /^In this page/ }).check();
  await button(page, "Use this place").click();
  await chip(page, "Runs in this page").waitFor();
  const own = await openSession(page, ACME);
  const foreign = await ask(origin, "/chat", { tenant_id: "acme", session_id: own, message: "?" });
  assert.deepEqual([foreign.status, foreign.body.detail], [404, "Unknown session_id"]);
});

scene("a server's limit is metered, refuses once spent, and counts down", { origins }, async ({ page }) => {
  const [origin] = await started();
  await connect(page, origin);
  await openById(page, "globex", GLOBEX);
  await card(page, GLOBEX).getByText("The first chat tells the limit").waitFor();
  await say(page, GLOBEX, "one");
  await until(() => left(page, GLOBEX), [3, 4]);
  await button(page, `Spend all chats of ${GLOBEX}`).click();
  await hears(page, GLOBEX, "429");
  await hears(page, GLOBEX, "used up its chats of the last 10 seconds");
  assert.equal((await newest(page)).response.headers["retry-after"].length > 0, true);
  assert.match(await timer(page, GLOBEX).innerText(), /^\d+ s$/);
  await timer(page, GLOBEX).waitFor({ state: "detached" });
  await say(page, GLOBEX, "back again");
  await hears(page, GLOBEX, "BACK AGAIN");
});

scene("attempts to get across are refused by a real server, too", { origins }, async ({ page }) => {
  await connect(page, server.origin);
  const session = await openById(page, "initech", INITECH);
  await openById(page, "globex", GLOBEX);
  await card(page, INITECH).getByTitle("Drag this session").dragTo(card(page, GLOBEX));
  await hears(page, GLOBEX, `${INITECH}’s session was tried here: Session does not belong to tenant`);
  const { request, response } = await newest(page);
  assert.equal(response.line, "HTTP/1.1 403");
  assert.equal(JSON.parse(request.body).session_id, session);
  await button(page, "Try everything").click();
  for (const [name, status] of [["Malformed JSON", 422], ["More than a megabyte", 413]]) {
    await attempt(page, name).getByText(String(status), { exact: true }).waitFor();
  }
});

scene("a server's own page offers that server", { place: places.demo, origins }, async ({ page }) => {
  await chip(page, "Runs in this page").click();
  const home = page.getByRole("radio", { name: /^The server of this page/ });
  await home.check();
  await button(page, "Use this place").click();
  await toast(page).getByText(`Connected to ${server.origin}/`).waitFor();
  await openById(page, "globex", GLOBEX);
});

const FAILURES = [
  {
    name: "a server that does not let this page in is told apart from none",
    url: () => closed.origin,
    says: `does not let this page read its answers. Start it with “tenantry serve --cors-origin ${host.origin}”`,
    complaint: /CORS policy|net::ERR_FAILED/,
  },
  {
    name: "where nothing listens, the page says so, and how to start a server",
    // A port that no test server has, and that no browser refuses by itself.
    url: () => "http://127.0.0.1:9101",
    says: "Nothing answers at 127.0.0.1:9101. Is the server running?",
    complaint: /ERR_CONNECTION_REFUSED/,
  },
  {
    name: "what is no Tenantry server is not taken for one",
    url: () => host.origin,
    says: "answers, but not as Tenantry does",
  },
  {
    name: "what is no URL is refused",
    url: () => "ftp://example",
    says: "That is no server’s URL.",
  },
];

for (const { name, url, says, complaint } of FAILURES) {
  const options = { origins: [...origins, "http://127.0.0.1:9101"], expected: complaint ? [complaint] : [] };
  scene(name, options, async ({ page }) => {
    const session = await openSession(page, ACME);
    const dialog = await connect(page, url());
    await dialog.getByRole("alert").getByText(says).waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await say(page, ACME, "still here");
    await hears(page, ACME, "ereh llits");
    assert.equal(await sessionOf(page, ACME), session, "the page goes on by itself");
  });
}

scene(
  "a server that is gone is said to be, and the page answers by itself meanwhile",
  { origins, expected: [/ERR_CONNECTION_REFUSED/] },
  async ({ page }) => {
    const [origin, stop] = await started();
    await connect(page, origin);
    await openById(page, "acme", ACME);
    await stop();
    await say(page, ACME, "anybody?");
    await hears(page, ACME, `Nothing answers at ${new URL(origin).host}`);
    await page.reload();
    await page.getByRole("alert").getByText("Until then, this page answers by itself.").waitFor();
    await chip(page, "Runs in this page").waitFor();
    await openSession(page, ACME);
    await button(page, "Stay in this page").click();
    await page.reload();
    await chip(page, "Runs in this page").waitFor();
    await hears(page, ACME, "Howdy from Acme!");
    assert.equal(await button(page, "Stay in this page").count(), 0);
  },
);
