// Loaded in front of a program of README.md: prints each call of console.log as one line of
// JSON, however many lines its text has.

import { formatWithOptions } from "node:util";

const options = { breakLength: Infinity, depth: Infinity };
console.log = (...values) => {
  process.stdout.write(`${JSON.stringify(formatWithOptions(options, ...values))}\n`);
};
