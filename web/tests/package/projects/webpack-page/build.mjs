import fs from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

import webpack from "webpack";

const configuration = (entry) => ({
  mode: "production",
  target: "web",
  entry: `./${entry}.js`,
  output: { path: path.resolve("dist", entry), filename: "bundle.js" },
  // A page that has all of its WebAssembly inside is larger than webpack likes.
  performance: { hints: false },
});

const stats = await promisify(webpack)(["main", "slim"].map(configuration));
const found = stats.toString({ all: false, errors: true, warnings: true });
if (found !== "") throw new Error(found);
for (const entry of ["main", "slim"]) {
  await fs.copyFile("index.html", path.join("dist", entry, "index.html"));
}
