// A real browser: Chromium as the system has it, without a window.

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

/** Chromium's names, the most likely first. */
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The program; `CHROMIUM` in the environment names another one. */
export function chromiumPath() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  const path = paths.find((candidate) => existsSync(candidate));
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
