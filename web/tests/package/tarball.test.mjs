import assert from "node:assert/strict";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { before, describe, it } from "node:test";

import { publint } from "publint";
import { formatMessage } from "publint/utils";

import { workspace } from "../support/built.mjs";
import { files, project, run, tarball, tool, version } from "./harness.mjs";

/** The files that a module of the package imports; those of types import types. */
function imports(file, code) {
  const names = [...code.matchAll(/\b(?:from|import) "\.\/([^"]+)"/g)].map(([, name]) => name);
  const types = file.endsWith(".d.ts");
  return names.map((name) => `dist/${types ? name.replace(/\.js$/, ".d.ts") : name}`);
}

describe("the tarball", () => {
  let dir, manifest;
  const read = (file) => fs.readFile(path.join(dir, file), "utf8");
  const shipped = async (pattern) => (await files(dir)).filter((file) => pattern.test(file));

  before(async () => {
    dir = path.join(await project("installed"), "node_modules/tenantry");
    manifest = JSON.parse(await read("package.json"));
  });

  it("has what its entries reach, what npm wants, and nothing else", async () => {
    const reached = new Set();
    const entries = Object.values(manifest.exports).flatMap((entry) =>
      typeof entry === "string" ? entry : Object.values(entry),
    );
    const left = entries.map((entry) => entry.replace("./", ""));
    for (let file = left.pop(); file !== undefined; file = left.pop()) {
      if (reached.has(file)) continue;
      reached.add(file);
      if (/\.[jt]s$/.test(file)) left.push(...imports(file, await read(file)));
    }
    const named = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];
    assert.deepEqual(await files(dir), [...named, ...reached].sort());
    for (const entry of ["dist/index.js", "dist/index.workerd.js", "dist/slim.d.ts"]) {
      assert.ok(reached.has(entry), entry);
    }
  });

  it("has the licence and the address of the repository", async () => {
    for (const license of ["LICENSE-APACHE", "LICENSE-MIT"]) {
      assert.equal(await read(license), await fs.readFile(path.join(workspace, license), "utf8"));
    }
    const cargo = await fs.readFile(path.join(workspace, "Cargo.toml"), "utf8");
    assert.equal(manifest.license, /^license = "([^"]+)"/m.exec(cargo)[1]);
    const repository = /^repository = "([^"]+)"/m.exec(cargo)?.[1];
    assert.equal(manifest.repository?.url, repository && `git+${repository}.git`);
  });

  it("says in package.json what it is", () => {
    assert.equal(manifest.name, "tenantry");
    assert.equal(manifest.version, version);
    assert.equal(manifest.type, "module");
    assert.deepEqual(manifest.engines, { node: ">=20.19" });
    assert.ok(manifest.description && manifest.keywords.length > 0);
    assert.deepEqual(manifest.sideEffects, ["./dist/index.js", "./dist/index.workerd.js"]);
    assert.deepEqual(Object.keys(manifest.exports), [
      ".",
      "./slim",
      "./tenantry.wasm",
      "./package.json",
    ]);
    // The first condition that holds is taken: types before code, and the default last.
    assert.deepEqual(Object.entries(manifest.exports["."]), [
      ["types", "./dist/index.d.ts"],
      ["workerd", "./dist/index.workerd.js"],
      ["default", "./dist/index.js"],
    ]);
  });

  it("needs no other package and runs nothing when it is installed", () => {
    const kinds = /dependencies$|^(scripts|bin|gypfile|bundle)/i;
    assert.deepEqual(Object.keys(manifest).filter((member) => kinds.test(member)), []);
  });

  it("maps to no sources that it has not", async () => {
    for (const file of await shipped(/\.map$/)) {
      const map = JSON.parse(await read(file));
      const inside = map.sourcesContent?.filter((text) => typeof text === "string") ?? [];
      assert.equal(inside.length, map.sources.length, `${file} lacks sources`);
    }
    const all = new Set(await files(dir));
    for (const file of await shipped(/\.[jt]s$/)) {
      for (const [, map] of (await read(file)).matchAll(/^\/\/# sourceMappingURL=(\S+)$/gm)) {
        assert.ok(all.has(path.posix.join(path.posix.dirname(file), map)), `${file}: no ${map}`);
      }
    }
  });

  it("does not tell where it was built", async () => {
    const folders = [`${workspace}/`, `${os.homedir()}/`, ".cargo/"];
    for (const file of await files(dir)) {
      const text = await fs.readFile(path.join(dir, file), "latin1");
      const found = folders.filter((folder) => text.includes(folder));
      assert.deepEqual(found, [], file);
    }
  });

  it("has no `any` in its types", async () => {
    const types = await shipped(/\.d\.ts$/);
    assert.ok(types.length > 0);
    for (const file of types) {
      const code = (await read(file)).replace(/\/\*.*?\*\/|\/\/.*?$/gms, "");
      assert.doesNotMatch(code, /\bany\b/, file);
    }
  });

  it("passes publint", async () => {
    const { buffer, byteOffset, byteLength } = await fs.readFile(tarball);
    const pack = { tarball: buffer.slice(byteOffset, byteOffset + byteLength) };
    const { messages, pkg } = await publint({ pack, strict: true });
    assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
  });

  it("passes arethetypeswrong", async () => {
    // The package has no CommonJS, which Node's `require` does not need any more. What an
    // import of the .wasm is depends on the tool: bytes, an address, or a compiled module.
    // So it has no types here; each tool has its own.
    const args = ["--profile", "esm-only", "--exclude-entrypoints", "./tenantry.wasm"];
    await run(tool("attw"), [tarball, ...args, "--format", "ascii"]);
  });
});
