// Prints how large what was built is, and fails where something is larger than
// `web/budget.json` allows: `node sizes.mjs --out DIR`.

import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const { values } = parseArgs({ options: { out: { type: "string" } } });
const out = resolve(values.out);
const budget = JSON.parse(readFileSync(new URL("../budget.json", import.meta.url), "utf8"));

/** What is measured: for each name, files that are sent together. */
function measured() {
  const dist = (name) => join(out, "package/dist", name);
  const page = readdirSync(join(out, "page")).map((name) => join(out, "page", name));
  const [tarball, ...others] = readdirSync(out).filter((name) => name.endsWith(".tgz"));
  if (others.length > 0) throw new Error(`more than one tarball in ${out}`);
  return {
    wasm: [dist("tenantry.wasm")],
    page,
    "tenantry.html": [join(out, "tenantry.html")],
    tarball: [join(out, tarball)],
  };
}

const columns = {
  raw: (bytes) => bytes.length,
  gzip: (bytes) => gzipSync(bytes, { level: 9 }).length,
  brotli: (bytes) =>
    brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }).length,
};

const problems = [];
const cell = (text) => String(text).padStart(10);
console.log(`${"bytes".padEnd(14)}${Object.keys(columns).map(cell).join("")}`);
for (const [name, files] of Object.entries(measured())) {
  const contents = files.map((file) => readFileSync(file));
  const sizes = Object.entries(columns).map(([column, size]) => {
    const bytes = contents.map(size).reduce((sum, one) => sum + one, 0);
    const most = budget[name]?.[column];
    if (bytes > most) problems.push(`${name}: ${bytes} bytes (${column}), more than ${most}`);
    return bytes;
  });
  console.log(`${name.padEnd(14)}${sizes.map(cell).join("")}`);
}
for (const name of Object.keys(budget)) {
  if (!(name in measured())) problems.push(`${name}: nothing of that name is measured`);
}
if (problems.length > 0) {
  console.error(problems.map((problem) => `error: ${problem} (web/budget.json)`).join("\n"));
  process.exit(1);
}
