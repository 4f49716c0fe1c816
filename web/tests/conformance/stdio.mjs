// The suite in Node, Deno or Bun: `RUNTIME stdio.mjs PACKAGE`.

import { createInterface } from "node:readline";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

import { answers } from "./answers.mjs";

const entry = join(process.argv[2], "dist/index.js");
const answer = answers(await import(pathToFileURL(entry).href));
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${await answer(line)}\n`);
}
