// Builds the npm package from what the generator wrote:
// `node package.mjs --generated DIR --out DIR`. Leaves `package/`, as it is published, and
// the packed `tenantry-VERSION.tgz` in the second folder.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

const web = resolve(import.meta.dirname, "..");
const { values } = parseArgs({
  options: { generated: { type: "string" }, out: { type: "string" } },
});
const generated = resolve(values.generated);
const out = resolve(values.out);
const build = join(out, "build");
const staged = join(out, "package");
const dist = join(staged, "dist");

/** What the compiler emits; wasm-opt may use it, and nothing newer. */
const FEATURES = [
  "bulk-memory",
  "multivalue",
  "mutable-globals",
  "nontrapping-float-to-int",
  "reference-types",
  "sign-ext",
];

function run(tool, args) {
  const bin = join(web, "node_modules", ".bin", tool);
  execFileSync(bin, args, { stdio: ["ignore", "inherit", "inherit"] });
}

/** The files that a declaration imports, and those that these import. */
function reachable(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(join(dist, file), "utf8");
  for (const [, name] of text.matchAll(/from "\.\/(.+?)\.js"/g)) reachable(`${name}.d.ts`, found);
  return found;
}

for (const folder of [build, staged]) rmSync(folder, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

const { version } = JSON.parse(readFileSync(join(web, "npm/package.json"), "utf8"));
cpSync(join(web, "npm/src"), build, { recursive: true });
cpSync(join(generated, "glue.js"), join(build, "glue.js"));
cpSync(join(generated, "glue.d.ts"), join(build, "glue.d.ts"));
const wasm = join(dist, "tenantry.wasm");
run("wasm-opt", [
  ...["--mvp-features", ...FEATURES.map((name) => `--enable-${name}`)],
  ...["-Oz", "--converge", join(generated, "glue_bg.wasm"), "-o", wasm],
]);
const base64 = readFileSync(wasm).toString("base64");
writeFileSync(join(build, "wasm.base64.ts"), `export const base64 =\n  "${base64}";\n`);
writeFileSync(
  join(build, "version.ts"),
  `/** The version of this package. */\nexport const version: string = "${version}";\n`,
);

const config = JSON.parse(readFileSync(join(web, "npm/tsconfig.json"), "utf8"));
config.compilerOptions.rootDir = build;
config.compilerOptions.outDir = dist;
delete config.compilerOptions.rootDirs;
config.include = [build];
writeFileSync(join(build, "tsconfig.json"), JSON.stringify(config));
run("tsc", ["--project", build]);
cpSync(join(build, "glue.js"), join(dist, "glue.js"));

// What nobody can name from outside needs no declaration.
const declared = new Set([...reachable("index.d.ts"), ...reachable("slim.d.ts")]);
for (const file of readdirSync(dist)) {
  if (file.endsWith(".d.ts") && !declared.has(file)) rmSync(join(dist, file));
  // Files that held nothing but types.
  if (file.endsWith(".js") && /^(export \{\};\n)?$/.test(readFileSync(join(dist, file), "utf8"))) {
    rmSync(join(dist, file));
  }
}

for (const file of ["package.json", "README.md"]) cpSync(join(web, "npm", file), join(staged, file));
for (const file of ["LICENSE-APACHE", "LICENSE-MIT"]) {
  cpSync(join(web, "..", file), join(staged, file));
}
const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", out], {
  cwd: staged,
  encoding: "utf8",
});
console.log(`package: ${join(out, packed.trim())}`);
