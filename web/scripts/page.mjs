// Builds the static page: a folder for any static host, and one file that needs no host.
//
//     node web/scripts/page.mjs --package <staged package> --out <target/web>
//
// writes <out>/page/ and <out>/tenantry.html. The same sources give the same bytes.

import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { build } from "esbuild";

const source = join(dirname(dirname(fileURLToPath(import.meta.url))), "page");

/** Browsers that have light-dark(), container queries and nesting. */
const TARGET = ["chrome123", "firefox120", "safari17.5"];

/** Digits of a hash in a file's name. */
const NAME_DIGITS = 10;

const { values } = parseArgs({
  options: { package: { type: "string" }, out: { type: "string" } },
});
if (values.package === undefined || values.out === undefined) {
  console.error("usage: node page.mjs --package <staged package> --out <folder>");
  process.exit(2);
}
await main(resolve(values.package), resolve(values.out));

async function main(packed, out) {
  const { version, exports } = JSON.parse(await readFile(join(packed, "package.json"), "utf8"));
  const wasm = await readFile(join(packed, target(exports["./tenantry.wasm"])));
  const script = await bundle("src/main.tsx", {
    alias: { "tenantry/slim": join(packed, target(exports["./slim"])) },
    define: { "import.meta.url": "document.baseURI" },
    format: "iife",
    jsx: "automatic",
    jsxImportSource: "preact",
    loader: { ".jsonl": "text" },
  });
  const style = await bundle("style/main.css", {});
  const icon = await readFile(join(source, "icon.svg"), "utf8");
  const template = await readFile(join(source, "index.html"), "utf8");
  const page = { version, wasm, script, style, icon, template };

  const folder = join(out, "page");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const files = folderOf(page);
  for (const [name, content] of files) await writeFile(join(folder, name), content);
  const single = singleFileOf(page);
  await writeFile(join(out, "tenantry.html"), single);
  console.log(`page: ${folder}`);
}

/** The file that an entry of a package's `exports` is for browsers. */
function target(entry) {
  if (typeof entry === "string") return entry;
  const next = entry?.browser ?? entry?.import ?? entry?.default;
  if (next === undefined) throw new Error("the package does not export what the page needs");
  return target(next);
}

async function bundle(entry, options) {
  const { outputFiles } = await build({
    absWorkingDir: source,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
    target: TARGET,
    write: false,
    ...options,
  });
  return outputFiles[0].text.trimEnd();
}

/** The folder: each part is a file of its own, whose name changes with its content. */
function folderOf({ version, wasm, script, style, icon, template }) {
  const named = (content, stem, end) => `${stem}-${sha256(content).slice(0, NAME_DIGITS)}.${end}`;
  const names = {
    wasm: named(wasm, "tenantry", "wasm"),
    script: named(script, "app", "js"),
    style: named(style, "style", "css"),
    icon: named(icon, "icon", "svg"),
  };
  const html = filled(template, version, wasm, {
    policy: policy("'self'", "'self'"),
    parts: [
      `<link rel="icon" href="${names.icon}" type="image/svg+xml">`,
      `<link rel="stylesheet" href="${names.style}">`,
      `<link rel="preload" id="wasm" href="${names.wasm}" as="fetch" type="application/wasm" crossorigin>`,
      `<script defer src="${names.script}"></script>`,
    ].join("\n    "),
    program: "",
  });
  return new Map([
    ["index.html", html],
    [names.script, script],
    [names.style, style],
    [names.wasm, wasm],
    [names.icon, icon],
  ]);
}

/** Everything in one file, for opening from a disk. */
function singleFileOf({ version, wasm, script, style, icon, template }) {
  if (/<\/script|<!--/i.test(script) || /<\/style/i.test(style)) {
    throw new Error("a part of the page would end its own element");
  }
  const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const data = `data:image/svg+xml;base64,${Buffer.from(icon).toString("base64")}`;
  return filled(template, version, wasm, {
    policy: policy(hash(script), hash(style)),
    parts: [`<link rel="icon" href="${data}">`, `<style>${style}</style>`].join("\n    "),
    program: [
      `<script type="text/plain" id="wasm">${wasm.toString("base64")}</script>`,
      `<script>${script}</script>`,
    ].join("\n    "),
  });
}

/** What the page may do: run its own parts, compile WebAssembly, and call servers. */
function policy(script, style) {
  return [
    "default-src 'none'",
    `script-src ${script} 'wasm-unsafe-eval'`,
    `style-src ${style}`,
    "img-src 'self' data:",
    "connect-src 'self' http: https:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}

/** The template with its parts, and with the facts that the footer shows. */
function filled(template, version, wasm, parts) {
  const facts = `<html lang="en" data-version="${version}" data-sha256="${sha256(wasm)}">`;
  const text = template.replace('<html lang="en">', () => facts);
  return text.replace(/\{\{(\w+)\}\}/g, (_, name) => parts[name]).replace(/^ +\n/gm, "");
}

function sha256(content) {
  return createHash("sha256").update(content).digest("hex");
}
