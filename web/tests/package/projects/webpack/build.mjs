import path from "node:path";
import { promisify } from "node:util";

import webpack from "webpack";

const asScript = (entry) => ({
  mode: "production",
  target: "node20",
  entry: `./${entry}.js`,
  output: { path: path.resolve("dist", entry, "cjs"), filename: "bundle.cjs" },
});

const asModule = (entry) => ({
  mode: "production",
  target: "node20",
  entry: `./${entry}.js`,
  experiments: { outputModule: true },
  output: { path: path.resolve("dist", entry, "esm"), filename: "bundle.mjs", module: true },
});

const entries = ["main", "slim", "both", "unused", "unused-slim"];
const stats = await promisify(webpack)([...entries.map(asScript), ...entries.map(asModule)]);
const found = stats.toString({ all: false, errors: true, warnings: true });
if (found !== "") throw new Error(found);
