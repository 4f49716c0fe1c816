// Lines from standard input, answered one after the other; then the end.

import { createInterface } from "node:readline";

/** Answers each line, and stops what `stop` stops, whatever comes. */
export async function answerLines(answer, stop) {
  try {
    for await (const line of createInterface({ input: process.stdin })) {
      process.stdout.write(`${await answer(line)}\n`);
    }
  } finally {
    await stop();
  }
}
