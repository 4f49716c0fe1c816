import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { createServer } from "vite";

import { launchChromium } from "../support/chromium.mjs";
import { serveStatic } from "../support/static.mjs";
import { told, visit } from "./browser.mjs";
import { assertTold, files, project, run, tool, wasmCopies } from "./harness.mjs";

/** Pages of the project `vite`, and the copies of the wasm that belong into a build of each. */
const PAGES = {
  index: { files: 0, inlined: 1 },
  slim: { files: 1, inlined: 0 },
  "new-url": { files: 1, inlined: 0 },
};

let browser;
before(async () => {
  browser = await launchChromium();
});
after(() => browser?.close());

/** Vite's dev server for a project, as `vite` on the command line starts it. */
async function develop(root) {
  const server = await createServer({
    root,
    logLevel: "warn",
    server: { host: "127.0.0.1", port: 0 },
  });
  await server.listen();
  const { port } = server.httpServer.address();
  return { origin: `http://127.0.0.1:${port}`, stop: () => server.close() };
}

describe("Vite", () => {
  let cwd;
  before(async () => {
    cwd = await project("vite");
  });

  for (const [page, copies] of Object.entries(PAGES)) {
    it(`builds ${page}.html, with the wasm once`, async () => {
      await run(tool("vite"), ["build", "--outDir", `dist/${page}`], {
        cwd,
        env: { PAGE: page },
      });
      const dist = path.join(cwd, "dist", page);
      assert.deepEqual(await wasmCopies(dist, cwd), copies, (await files(dist)).join("\n"));
      const { origin, stop } = await serveStatic({ "/": dist });
      try {
        assertTold(await visit(browser, `${origin}/${page}.html`, told));
      } finally {
        await stop();
      }
    });
  }

  it("serves each page from its dev server", async () => {
    const { origin, stop } = await develop(cwd);
    try {
      for (const page of Object.keys(PAGES)) {
        assertTold(await visit(browser, `${origin}/${page}.html`, told));
      }
    } finally {
      await stop();
    }
  });
});

describe("React in Vite", () => {
  let cwd;
  before(async () => {
    cwd = await project("react");
  });

  async function chats(page) {
    assertTold(await told(page));
    await page.fill("#acme input", "hello");
    await page.click("#acme button");
    await page.fill("#globex input", "hello");
    await page.click("#globex button");
    assert.deepEqual(await page.locator("li").allTextContents(), [
      "Howdy from Acme! [ACME MOCK] You said: 'hello'. Here's it reversed: 'olleh'",
      "403 wrong_tenant",
    ]);
  }

  it("passes the TypeScript compiler", async () => {
    await run(tool("tsc"), ["--project", "."], { cwd });
  });

  it("is built, with the wasm once", async () => {
    await run(tool("vite"), ["build"], { cwd });
    const dist = path.join(cwd, "dist");
    assert.deepEqual(await wasmCopies(dist, cwd), { files: 0, inlined: 1 });
    const { origin, stop } = await serveStatic({ "/": dist });
    try {
      await visit(browser, origin, chats);
    } finally {
      await stop();
    }
  });

  it("runs in the dev server", async () => {
    const { origin, stop } = await develop(cwd);
    try {
      await visit(browser, origin, chats);
    } finally {
      await stop();
    }
  });
});
