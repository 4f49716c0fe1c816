// Has the TypeScript compiler read the page and its tests, beside the package as it is built:
// `node check.mjs --out DIR`.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const web = resolve(import.meta.dirname, "..");
const { values } = parseArgs({ options: { out: { type: "string" } } });
const out = resolve(values.out);

/** A configuration like the given one, with the package where it is built. */
function check(name, config, files) {
  const folder = join(out, "check", name);
  mkdirSync(folder, { recursive: true });
  const paths = { "tenantry/slim": [join(out, "package/dist/slim.d.ts")] };
  const content = { extends: config, compilerOptions: { paths }, include: files };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(content));
  execFileSync(join(web, "node_modules/.bin/tsc"), ["--project", folder], { stdio: "inherit" });
}

const page = join(web, "page");
check("page", join(page, "tsconfig.json"), [join(page, "src")]);
check("page-tests", join(page, "tests/tsconfig.json"), [join(page, "tests/*.ts")]);
