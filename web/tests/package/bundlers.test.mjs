import assert from "node:assert/strict";
import fs from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { launchChromium } from "../support/chromium.mjs";
import { serveStatic } from "../support/static.mjs";
import { told, visit } from "./browser.mjs";
import { assertTold, files, node, project, wasmCopies } from "./harness.mjs";

/** Entries, the formats that each is bundled to, and the copies of the wasm that belong there. */
const BUNDLERS = {
  esbuild: {
    formats: ["esm", "cjs", "iife"],
    // The loader `binary` puts the file into the bundle.
    slim: { formats: ["esm", "cjs", "iife"], copies: { files: 0, inlined: 1 } },
  },
  rollup: {
    formats: ["es", "cjs", "iife"],
    // The file is read where npm installed it.
    slim: { formats: ["es"], copies: { files: 0, inlined: 0 } },
  },
  webpack: {
    formats: ["cjs", "esm"],
    slim: { formats: ["cjs", "esm"], copies: { files: 1, inlined: 0 } },
  },
};

const size = async (bundle) => {
  const stats = (await files(bundle)).map((file) => fs.stat(path.join(bundle, file)));
  return (await Promise.all(stats)).reduce((total, { size }) => total + size, 0);
};

for (const [bundler, { formats, slim }] of Object.entries(BUNDLERS)) {
  describe(bundler, () => {
    let cwd;
    before(async () => {
      cwd = await project(bundler);
      await node(["build.mjs"], { cwd });
    });

    const inlined = { files: 0, inlined: 1 };
    const programs = [
      ...formats.map((format) => ({ entry: "main", format, copies: inlined })),
      ...formats.map((format) => ({ entry: "both", format, copies: inlined })),
      ...slim.formats.map((format) => ({ entry: "slim", format, copies: slim.copies })),
    ];
    for (const { entry, format, copies } of programs) {
      it(`makes ${entry} a program, as ${format}, with the wasm once`, async () => {
        const bundle = path.join(cwd, "dist", entry, format);
        const [program] = (await files(bundle)).filter((file) => file.startsWith("bundle."));
        const { stdout } = await node([path.join(bundle, program)], { cwd });
        assertTold(stdout);
        assert.deepEqual(await wasmCopies(bundle, cwd), copies);
      });
    }

    for (const format of formats) {
      // It loads itself, which is a side effect: whoever imports it gets it.
      it(`keeps the entry that loads itself where it is imported only, as ${format}`, async () => {
        const bundle = path.join(cwd, "dist/unused", format);
        assert.deepEqual(await wasmCopies(bundle, cwd), inlined);
      });

      it(`drops the slim entry where it is imported only, as ${format}`, async () => {
        const bundle = path.join(cwd, "dist/unused-slim", format);
        assert.deepEqual(await wasmCopies(bundle, cwd), { files: 0, inlined: 0 });
        // What is left is one call of console.log, in what the format puts around it.
        assert.ok((await size(bundle)) < 64, "something of the package is in the bundle");
      });
    }
  });
}

describe("webpack, for browsers", () => {
  let cwd, origin, stop, browser;
  before(async () => {
    cwd = await project("webpack-page");
    await node(["build.mjs"], { cwd });
    ({ origin, stop } = await serveStatic({ "/": path.join(cwd, "dist") }));
    browser = await launchChromium();
  });
  after(async () => {
    await browser?.close();
    await stop?.();
  });

  const pages = { main: { files: 0, inlined: 1 }, slim: { files: 1, inlined: 0 } };
  for (const [entry, copies] of Object.entries(pages)) {
    it(`makes ${entry} a page, with the wasm once`, async () => {
      assertTold(await visit(browser, `${origin}/${entry}/index.html`, told));
      assert.deepEqual(await wasmCopies(path.join(cwd, "dist", entry), cwd), copies);
    });
  }
});
