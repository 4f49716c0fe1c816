// Runs the programs of the project's README.md and of the package's as they are written there:
// each block of js is one. Where `console.log(x);` is followed by `// → text`, that call prints
// the text. The commands of the project's own are run by the tests of the server.

import assert from "node:assert/strict";
import fs from "node:fs/promises";
import path from "node:path";
import { before, describe, it } from "node:test";

import { workspace } from "../support/built.mjs";
import { node, project, tarball } from "./harness.mjs";

/** Blocks that are no programs. */
const OTHER = new Set(["console", "json", "jsonl", "mermaid", "text"]);

const PACKAGE = "web/npm/README.md";

/** The text of a README.md, and its programs. */
async function readme(file) {
  const text = await fs.readFile(path.join(workspace, file), "utf8");
  const blocks = [...text.matchAll(/^```(\S*)\n(.*?)^```$/gms)].map((block) => {
    const line = text.slice(0, block.index).split("\n").length + 1;
    return { line, language: block[1], code: block[2] };
  });
  return { text, programs: blocks.filter(({ language }) => !OTHER.has(language)) };
}

let cwd;
before(async () => {
  cwd = await project("readme");
});

for (const file of ["README.md", PACKAGE]) {
  const { text, programs } = await readme(file);

  describe(file, () => {
    it("has programs, and tells where the package is", () => {
      assert.ok(programs.length > 0);
      const install = file === PACKAGE ? "npm install tenantry" : path.basename(tarball);
      assert.ok(text.includes(install), install);
    });

    for (const { line, language, code } of programs) {
      it(`shows in line ${line} what it prints`, async () => {
        assert.equal(language, "js", "no way to run it is known here");
        const shown = [...code.matchAll(/console\.log\(.*\/\/ → (.*)$/gm)].map(([, words]) => words);
        assert.ok(shown.length > 0, "it shows nothing");
        assert.equal(shown.length, code.split("console.log(").length - 1);
        const script = `${file.replaceAll("/", "-")}-${line}.js`;
        await fs.writeFile(path.join(cwd, script), code);
        const { stdout } = await node(["--import", "./printed.mjs", script], { cwd });
        const printed = stdout.split("\n").filter(Boolean).map((words) => JSON.parse(words));
        assert.deepEqual(printed, shown);
      });
    }
  });
}

describe(PACKAGE, () => {
  it("is that of the tarball", async () => {
    const packed = await fs.readFile(path.join(cwd, "node_modules/tenantry/README.md"), "utf8");
    assert.equal(packed, (await readme(PACKAGE)).text);
  });
});
