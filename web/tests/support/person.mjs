// What people do on the page, in their words: roles and names, as assistive technology has them.

import assert from "node:assert/strict";

export const ACME = "Acme Corp";
export const GLOBEX = "Globex Inc.";
export const INITECH = "Initech";

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

export const card = (page, name) => page.getByRole("article", { name, exact: true });
export const talk = (page, name) => page.getByRole("log", { name: `Conversation with ${name}` });
export const message = (page, name) => page.getByRole("textbox", { name: `Message to ${name}` });
export const meter = (page, name) => page.getByRole("meter", { name: `Chats that ${name} has left` });
export const timer = (page, name) => page.getByRole("timer", { name: `Until ${name} may chat again` });
export const toast = (page) => page.getByRole("status", { name: "Notifications" });
export const editor = (page) => page.getByRole("textbox", { name: "tenants.jsonl" });
export const problems = (page) => page.getByRole("list", { name: "Problems" });
export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const exchanges = (page) => page.getByRole("list", { name: "Exchanges" }).getByRole("listitem");
export const attempt = (page, name) =>
  page.getByRole("list", { name: "Attempts" }).getByRole("listitem", { name, exact: true });

/** Waits until a conversation has the words. */
export const hears = (page, name, words) => talk(page, name).getByText(words).first().waitFor();

/** Opens a session by its button; returns its id, which the card shows. */
export async function openSession(page, name) {
  await card(page, name).getByRole("button", { name: `Open a session with ${name}` }).click();
  await message(page, name).waitFor();
  return sessionOf(page, name);
}

/** The session id that the card shows. */
export async function sessionOf(page, name) {
  const found = UUID.exec(await card(page, name).getByText(UUID).first().innerText());
  assert.ok(found, `${name} shows no session`);
  return found[0];
}

/** Types and presses Enter. */
export async function say(page, name, words) {
  await message(page, name).fill(words);
  await message(page, name).press("Enter");
}

/** What is left by the meter, as numbers: `[left, limit]`. */
export async function left(page, name) {
  const one = meter(page, name);
  return [
    Number(await one.getAttribute("aria-valuenow")),
    Number(await one.getAttribute("aria-valuemax")),
  ];
}

/** The newest exchange on the wire: its two halves as they are shown. */
export async function newest(page) {
  const entry = exchanges(page).first();
  const half = (name) => entry.getByRole("figure", { name }).locator("pre").textContent();
  return { request: parts(await half("Request")), response: parts(await half("Response")) };
}

/** A message as HTTP writes it: first line, headers and body. */
function parts(text) {
  const end = text.indexOf("\n\n");
  const [line, ...headers] = (end === -1 ? text : text.slice(0, end)).split("\n");
  return {
    line,
    headers: Object.fromEntries(headers.map((header) => header.split(/: (.*)/s))),
    body: end === -1 ? "" : text.slice(end + 2),
  };
}

/** Lets a server by URL answer, through the dialog. */
export async function connect(page, url) {
  await page.getByRole("button", { name: /^Runs / }).click();
  const dialog = page.getByRole("dialog", { name: "Where it runs" });
  await dialog.getByLabel("Server URL").fill(url);
  await dialog.getByRole("button", { name: "Use this place" }).click();
  return dialog;
}
