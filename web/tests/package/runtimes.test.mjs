import assert from "node:assert/strict";
import path from "node:path";
import { before, describe, it } from "node:test";

import { Miniflare } from "miniflare";

import { assertTold, bun, node, project, run, tool, wasmCopies } from "./harness.mjs";

describe("Deno", () => {
  let cwd;
  before(async () => {
    cwd = await project("deno");
  });

  /** Runs a program without a network, with the permissions that are given and no others. */
  const deno = (program, ...permissions) =>
    run(
      tool("deno"),
      ["run", "--no-prompt", "--cached-only", "--node-modules-dir=manual", ...permissions, program],
      { cwd, env: { DENO_DIR: path.join(cwd, ".deno"), DENO_NO_UPDATE_CHECK: "1" } },
    );

  it("runs main.ts, which needs no permission", async () => {
    const { stdout } = await deno("main.ts");
    assertTold(stdout);
  });

  it("runs slim.ts, which reads the wasm", async () => {
    const { stdout } = await deno("slim.ts", "--allow-read=node_modules");
    assertTold(stdout);
  });
});

describe("Bun", () => {
  let cwd, program;
  before(async () => {
    [cwd, program] = await Promise.all([project("bun"), bun()]);
  });

  for (const script of ["main.ts", "main.cjs", "slim.ts"]) {
    it(`runs ${script}`, async () => {
      const { stdout } = await run(program, ["--no-install", "run", script], {
        cwd,
        env: { BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0", DO_NOT_TRACK: "1" },
      });
      assertTold(stdout);
    });
  }
});

describe("workerd", () => {
  let cwd;
  before(async () => {
    cwd = await project("worker");
    await node(["build.mjs"], { cwd });
  });

  for (const entry of ["main", "slim"]) {
    // There, WebAssembly may come as a module of its own only, which the entry knows.
    it(`runs the worker ${entry}, with the wasm once, as a file`, async () => {
      const dist = path.join(cwd, "dist", entry);
      assert.deepEqual(await wasmCopies(dist, cwd), { files: 1, inlined: 0 });
      const worker = new Miniflare({
        compatibilityDate: "2026-01-01",
        modulesRoot: dist,
        scriptPath: path.join(dist, `${entry}.js`),
        modules: true,
        modulesRules: [
          { type: "ESModule", include: ["**/*.js"] },
          { type: "CompiledWasm", include: ["**/*.wasm"] },
        ],
      });
      try {
        const response = await worker.dispatchFetch("http://localhost/");
        const body = await response.text();
        assert.equal(response.status, 200, body);
        assertTold(body);
      } finally {
        await worker.dispose();
      }
    });
  }
});
