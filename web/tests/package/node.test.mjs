import assert from "node:assert/strict";
import { before, describe, it } from "node:test";

import { assertTold, node, project } from "./harness.mjs";

/** What `init` takes. */
const SOURCES = [
  "address",
  "URL",
  "address of another type",
  "Response",
  "promise of a Response",
  "Uint8Array",
  "ArrayBuffer",
  "promise of bytes",
  "module",
];

describe("Node", () => {
  let cwd;
  before(async () => {
    cwd = await project("node");
  });

  for (const program of ["main.mjs", "main.cjs", "slim.mjs", "slim.cjs"]) {
    it(`runs ${program}`, async () => {
      const { stdout } = await node([program], { cwd });
      assertTold(stdout);
    });
  }

  for (const kind of SOURCES) {
    it(`initializes the slim entry by: ${kind}`, async () => {
      const { stdout } = await node(["sources.mjs", kind], { cwd });
      assertTold(stdout);
    });
  }

  it("keeps the module that came first, and what it holds", async () => {
    const { stdout } = await node(["late.mjs"], { cwd });
    assertTold(stdout);
  });

  it("loads one copy of the classes, by whatever entry they are imported", async () => {
    const { stdout } = await node(["both.mjs"], { cwd });
    assert.deepEqual(JSON.parse(stdout), [1, 1]);
  });

  it("is told by the slim entry that it is not initialized", async () => {
    const { stdout } = await node(["early.mjs"], { cwd });
    assert.deepEqual(JSON.parse(stdout), [true, 0, "not_initialized"]);
  });
});
