// A real browser: Chromium as the system has it, without a window.

import { chromium } from "playwright-core";

import { find } from "./programs.mjs";

/** Chromium's names, the most likely first. */
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The program; `CHROMIUM` in the environment names another one. */
export function chromiumPath() {
  const path = find("CHROMIUM", NAMES);
  if (!path) throw new Error("Chromium is missing: please install it, or name it in CHROMIUM");
  return path;
}

/** Starts it; whoever does must close it. */
export function launchChromium() {
  return chromium.launch({
    executablePath: chromiumPath(),
    // Root, as in containers, has no sandbox; nothing foreign is opened.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
