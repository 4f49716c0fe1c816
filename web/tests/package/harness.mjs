// The tests of the packed npm package: they install target/web/tenantry-<version>.tgz, and
// never the sources, into small projects as users write them, and run those.
//
// `cargo xtask test package` builds the tarball, installs the tools, and runs the tests.
//
// A project is a folder of projects/. It is copied to target/web/projects/, where it finds the
// tools of web/tests/node_modules by walking up, and `npm install --offline` adds the tarball:
// the package has no dependencies, so nothing is fetched. Each project tells the story of
// story.mjs and prints what it saw as one line of JSON, which `assertTold` compares.
//
// TENANTRY_WEB is where the tarball is, CHROMIUM the browser. Both are found if not given.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { out, workspace } from "../support/built.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const tests = path.dirname(here);

const projects = path.join(out, "projects");

/** Where the tools of web/tests are installed. */
export const modules = path.join(tests, "node_modules");

/** The workspace's version, which is the package's. */
export const version = await (async () => {
  const manifest = await fs.readFile(path.join(workspace, "Cargo.toml"), "utf8");
  const found = /^\[workspace\.package\][^[]*?^version = "([^"]+)"/ms.exec(manifest);
  assert.ok(found, "Cargo.toml has no [workspace.package] version");
  return found[1];
})();

/** The packed package. */
export const tarball = path.join(out, `tenantry-${version}.tgz`);

/** A tool's program, by the name that npm gives it. */
export const tool = (name) => path.join(modules, ".bin", name);

/**
 * Bun's own program. Its npm package puts a script in front that needs the install scripts;
 * of the programs for several processors, the one that runs here is meant.
 */
export async function bun() {
  const scope = path.join(modules, "@oven");
  const name = process.platform === "win32" ? "bun.exe" : "bun";
  const failures = [];
  for (const platform of (await fs.readdir(scope)).sort()) {
    const program = path.join(scope, platform, "bin", name);
    try {
      await run(program, ["--version"]);
      return program;
    } catch (error) {
      failures.push(error.message);
    }
  }
  throw new Error(`no Bun in ${scope} runs here\n${failures.join("\n")}`);
}

/**
 * Runs a program to its end and resolves to what it printed. A program that fails, or runs for
 * two minutes, rejects with all of its output.
 */
export function run(program, args, { cwd = out, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, NO_COLOR: "1", NODE_OPTIONS: "", NODE_PATH: "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 120_000,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    const shown = [program, ...args].join(" ");
    child.on("error", (error) => reject(new Error(`${shown}: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) return resolve({ stdout, stderr });
      reject(
        new Error(
          `${shown} (in ${cwd}) ended with ${signal ?? code}\n` +
            `--- stderr\n${clipped(stderr)}\n--- stdout\n${clipped(stdout)}`,
        ),
      );
    });
  });
}

/** Text without the ends of its longest lines: Node shows the line of a bundle that failed. */
const clipped = (text) => text.replace(/^(.{1000}).+$/gm, "$1 [...]");

/** Runs a script with this Node. */
export const node = (args, options) => run(process.execPath, args, options);

/** Makes a fresh copy of the project of that name, with the tarball in it: its folder. */
export async function project(name) {
  const dir = path.join(projects, name);
  await fs.rm(dir, { recursive: true, force: true });
  await fs.cp(path.join(here, "projects", name), dir, { recursive: true });
  await fs.copyFile(path.join(here, "story.mjs"), path.join(dir, "story.mjs"));
  await linkTools();
  await install(dir);
  return dir;
}

async function linkTools() {
  const link = path.join(projects, "node_modules");
  try {
    await fs.symlink(modules, link, "junction");
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    assert.equal(await fs.realpath(link), await fs.realpath(modules), `${link} leads elsewhere`);
  }
}

async function install(dir) {
  await fs.access(tarball).catch(() => {
    throw new Error(`${tarball} is missing: run \`cargo xtask web\``);
  });
  await run(
    "npm",
    ["install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", tarball],
    { cwd: dir },
  );
}

/** The paths of all files under a folder, relative to it, with `/`, in order. */
export async function files(dir) {
  const entries = await fs.readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath ?? entry.path, entry.name)))
    .map((file) => file.split(path.sep).join("/"))
    .sort();
}

/**
 * How often a bundle has the package's WebAssembly: as files of its own, and as base64 inside
 * of others.
 */
export async function wasmCopies(bundle, projectDir) {
  const wasm = await fs.readFile(
    path.join(projectDir, "node_modules/tenantry/dist/tenantry.wasm"),
  );
  // From the middle: what comes first is the same in every module. Any three bytes of a file
  // that stand at a multiple of three are four characters of its base64.
  const start = 3 * Math.floor(wasm.length / 6);
  const needle = wasm.subarray(start, start + 300).toString("base64");
  const copies = { files: 0, inlined: 0 };
  for (const file of await files(bundle)) {
    const bytes = await fs.readFile(path.join(bundle, file));
    if (bytes.includes(wasm)) copies.files += 1;
    copies.inlined += bytes.toString("latin1").split(needle).length - 1;
  }
  return copies;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Checks that a program's output is the story as it must come out, in one line. */
export function assertTold(output) {
  const lines = output.trim().split("\n");
  assert.equal(lines.length, 1, `one line was expected of:\n${output}`);
  const told = JSON.parse(lines[0]);
  assert.match(told.session.sessionId, UUID);
  assert.equal(told.chat.sessionId, told.session.sessionId);
  told.session.sessionId = told.chat.sessionId = "<uuid>";
  assert.deepEqual(told, {
    version,
    session: {
      sessionId: "<uuid>",
      tenant: { id: "acme", name: "Acme Corp", welcome: "Howdy from Acme!" },
    },
    chat: {
      tenantId: "acme",
      sessionId: "<uuid>",
      reply:
        "Howdy from Acme! [ACME MOCK] You said: 'hello'. Here's it reversed: 'olleh'",
      model: "mock-1",
      mock: true,
      limit: { limit: 8, remaining: 7, resetMs: 10_000, windowMs: 10_000 },
    },
    refusal: {
      own: true,
      name: "TenantryError",
      status: 403,
      code: "wrong_tenant",
      detail: "Session does not belong to tenant",
    },
    refused: {
      own: true,
      code: "invalid_tenants",
      problems: [
        { line: 1, member: "welcome", message: "missing; it must be a string" },
        {
          line: 2,
          member: "reply.style",
          message: '"sing" is no style; use "reverse", "upper" or "ack"',
        },
      ],
    },
    fetched: [200, "application/json", '{"ok":true,"tenants":["acme","globex"]}'],
  });
}
