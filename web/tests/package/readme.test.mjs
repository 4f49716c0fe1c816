// Runs the programs of the package's README.md as they are written there: each block of js is
// one. Where `console.log(x);` is followed by `// → text`, that call prints the text.

import assert from "node:assert/strict";
import fs from "node:fs/promises";
import path from "node:path";
import { before, describe, it } from "node:test";

import { node, project, root } from "./harness.mjs";

/** Blocks that are no programs. */
const OTHER = new Set(["console", "json", "jsonl", "text"]);

const readme = await fs.readFile(path.join(root, "web/npm/README.md"), "utf8");

const blocks = [...readme.matchAll(/^```(\S*)\n(.*?)^```$/gms)].map((block) => {
  const line = readme.slice(0, block.index).split("\n").length + 1;
  return { line, language: block[1], code: block[2] };
});
const programs = blocks.filter(({ language }) => !OTHER.has(language));

describe("README.md of the package", () => {
  let cwd;
  before(async () => {
    cwd = await project("readme");
  });

  it("is that of the tarball, and has programs", async () => {
    const packed = path.join(cwd, "node_modules/tenantry/README.md");
    assert.equal(await fs.readFile(packed, "utf8"), readme);
    assert.ok(programs.length > 0);
  });

  for (const { line, language, code } of programs) {
    it(`shows in line ${line} what it prints`, async () => {
      assert.equal(language, "js", "no way to run it is known here");
      const promised = [...code.matchAll(/console\.log\(.*\/\/ → (.*)$/gm)].map(([, text]) => text);
      assert.equal(promised.length, code.split("console.log(").length - 1);
      await fs.writeFile(path.join(cwd, `line-${line}.js`), code);
      const { stdout } = await node(["--import", "./printed.mjs", `line-${line}.js`], { cwd });
      const printed = stdout.split("\n").filter(Boolean).map((text) => JSON.parse(text));
      assert.deepEqual(printed, promised);
    });
  }
});
