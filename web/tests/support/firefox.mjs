// Firefox as the system has it, without a window: by WebDriver BiDi, which needs no driver
// program beside it.

import puppeteer from "puppeteer-core";

import { find } from "./programs.mjs";

/** The program, if there is one; `FIREFOX` in the environment names another one. */
export const firefoxPath = () => find("FIREFOX", ["firefox", "firefox-esr"]);

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
