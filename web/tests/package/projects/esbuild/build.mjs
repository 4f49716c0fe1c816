import { build } from "esbuild";

const EXTENSIONS = { esm: "mjs", cjs: "cjs", iife: "js" };

for (const entry of ["main", "slim", "both", "unused", "unused-slim"]) {
  for (const format of ["esm", "cjs", "iife"]) {
    await build({
      entryPoints: [`${entry}.js`],
      outfile: `dist/${entry}/${format}/bundle.${EXTENSIONS[format]}`,
      bundle: true,
      format,
      target: "node20",
      minify: format === "iife",
      loader: { ".wasm": "binary" },
      logLevel: "warning",
    });
  }
}
