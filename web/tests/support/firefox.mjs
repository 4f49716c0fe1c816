// Firefox as the system has it, without a window: by WebDriver BiDi, which needs no driver
// program beside it.

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import puppeteer from "puppeteer-core";

/** Firefox's names, the most likely first. */
const NAMES = ["firefox", "firefox-esr"];

/** The program, if there is one; `FIREFOX` in the environment names another one. */
export function firefoxPath() {
  if (process.env.FIREFOX) return process.env.FIREFOX;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return paths.find((candidate) => existsSync(candidate));
}

/** Starts it; whoever does must close it. */
export function launchFirefox() {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: firefoxPath(),
    headless: true,
    // Nothing is fetched from elsewhere.
    extraPrefsFirefox: { "network.captive-portal-service.enabled": false },
  });
}
