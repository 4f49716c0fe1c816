// Attempts to get from one tenant to another, and what comes of them.

import assert from "node:assert/strict";

import {
  ACME,
  attempt,
  button,
  card,
  exchanges,
  GLOBEX,
  hears,
  INITECH,
  left,
  newest,
  openSession,
  sessionOf,
} from "../support/person.mjs";
import { startSite, until } from "../support/site.mjs";

const { scene, everywhere } = await startSite();

/** Each attempt of the lab: its status, and words of the reason. */
const ATTEMPTS = [
  ["Another tenant’s session", 403, "it was opened for Acme Corp"],
  ["An unknown session", 404, "122 random bits"],
  ["The right session, in capitals", 404, "Ids are compared as text"],
  ["An unknown tenant", 404, "the rows of tenants.jsonl"],
  ["Malformed JSON", 422, "The body is not JSON"],
  ["Half a character", 422, "surrogate pair"],
  ["Bytes that are no text", 400, "UTF-8"],
  ["A chat without a session", 422, "members are checked"],
  ["More than a megabyte", 413, "longer than the service takes"],
];

everywhere("a session that is dragged to another tenant is refused, and both cards say so", {}, async ({ page }) => {
  const session = await openSession(page, ACME);
  await card(page, ACME).getByTitle("Drag this session").dragTo(card(page, GLOBEX));
  await hears(page, GLOBEX, `${ACME}’s session was tried here: Session does not belong to tenant`);
  await hears(page, ACME, `This session was carried to ${GLOBEX}`);
  await hears(page, GLOBEX, "403");
  await hears(page, GLOBEX, `it was opened for ${ACME} and stays theirs`);
  const { request, response } = await newest(page);
  assert.equal(response.line, "HTTP/1.1 403");
  const sent = JSON.parse(request.body);
  assert.deepEqual([sent.tenant_id, sent.session_id], ["globex", session]);
  assert.deepEqual(await left(page, GLOBEX), [4, 4], "the attempt cost its victim nothing");
});

scene("a session that is dropped on its own card, or beside all cards, does nothing", {}, async ({ page }) => {
  await openSession(page, ACME);
  const count = await exchanges(page).count();
  const key = card(page, ACME).getByTitle("Drag this session");
  await key.dragTo(card(page, ACME).getByRole("heading"));
  await key.dragTo(page.getByRole("heading", { level: 1 }));
  await button(page, `Open a session with ${GLOBEX}`).click();
  await until(() => exchanges(page).count(), count + 1);
});

everywhere("a session is carried by keyboard alone, and refused", {}, async ({ page }) => {
  await button(page, `Open a session with ${ACME}`).press("Enter");
  const carry = button(page, `Carry ${ACME}’s session to another tenant`);
  await carry.press("Enter");
  assert.equal(await carry.getAttribute("aria-expanded"), "true");
  await page.keyboard.press("Tab");
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^Carry to Globex/);
  await page.keyboard.press("Enter");
  await hears(page, GLOBEX, "403");
  assert.equal((await newest(page)).response.line, "HTTP/1.1 403");
});

everywhere("every attempt of the lab is refused with its status and a reason", {}, async ({ page }) => {
  await button(page, "Try everything").click();
  for (const [name, status, why] of ATTEMPTS) {
    const outcome = attempt(page, name).getByRole("status");
    await outcome.getByText(String(status), { exact: true }).waitFor();
    await outcome.getByText(why).waitFor();
  }
  const listed = page.getByRole("list", { name: "Attempts" }).getByRole("listitem");
  assert.equal(await listed.count(), ATTEMPTS.length, "no attempt is untested");
  // Two sessions, each attempt, and the list of tenants that the page asked for at first or not.
  await until(() => exchanges(page).count(), ATTEMPTS.length + 2);
});

scene("each attempt can be made alone, between tenants of one's choice", {}, async ({ page }) => {
  const lab = page.getByRole("region", { name: "Isolation lab" });
  await lab.getByLabel("Session of").selectOption({ label: INITECH });
  await lab.getByLabel("Used with").selectOption({ label: ACME });
  for (const [name, status] of ATTEMPTS) {
    await button(page, `Try it: ${name}`).click();
    await attempt(page, name).getByText(String(status), { exact: true }).waitFor();
    assert.equal((await newest(page)).response.line, `HTTP/1.1 ${status}`, name);
  }
  await attempt(page, ATTEMPTS[0][0]).getByText(`it was opened for ${INITECH}`).waitFor();

  await lab.getByLabel("Used with").selectOption({ label: INITECH });
  await button(page, `Try it: ${ATTEMPTS[0][0]}`).click();
  await attempt(page, ATTEMPTS[0][0]).getByText("Both are the same tenant").waitFor();
  assert.notEqual(await sessionOf(page, INITECH), await sessionOf(page, ACME));
});
