import { nodeResolve } from "@rollup/plugin-node-resolve";
import { rollup } from "rollup";

const EXTENSIONS = { es: "mjs", cjs: "cjs", iife: "js" };

for (const entry of ["main", "slim", "both", "unused", "unused-slim"]) {
  const bundle = await rollup({
    input: `${entry}.js`,
    external: /^node:/,
    plugins: [nodeResolve()],
    onwarn(warning) {
      throw new Error(warning.message);
    },
  });
  // Top-level await, which slim.js has, is for modules only.
  for (const format of entry === "slim" ? ["es"] : ["es", "cjs", "iife"]) {
    await bundle.write({
      file: `dist/${entry}/${format}/bundle.${EXTENSIONS[format]}`,
      format,
      name: "bundle",
    });
  }
  await bundle.close();
}
