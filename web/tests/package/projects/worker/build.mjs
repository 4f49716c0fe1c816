// Bundles as wrangler does: a .wasm file stays a file, and its import a module of its own.
import { build } from "esbuild";

for (const entry of ["main", "slim"]) {
  await build({
    entryPoints: [`${entry}.js`],
    outdir: `dist/${entry}`,
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    mainFields: ["browser", "module", "main"],
    loader: { ".wasm": "copy" },
    logLevel: "warning",
  });
}
