// The suite in Chromium: `node chromium.mjs PACKAGE`. The page loads the package's own files.

import { launchChromium } from "../support/chromium.mjs";
import { serveStatic } from "../support/static.mjs";
import { answerLines } from "./lines.mjs";

const { origin, stop } = await serveStatic({
  "/package/": process.argv[2],
  "/suite/": import.meta.dirname,
});
const browser = await launchChromium();
const page = await browser.newPage();
await page.goto(`${origin}/suite/page.html`);
await page.waitForFunction(() => globalThis.answer !== undefined);
await answerLines(
  (line) => page.evaluate((text) => globalThis.answer(text), line),
  async () => {
    await browser.close();
    await stop();
  },
);
