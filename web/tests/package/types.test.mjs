import { before, describe, it } from "node:test";

import { project, run, tool } from "./harness.mjs";

describe("TypeScript", () => {
  let cwd;
  before(async () => {
    cwd = await project("types");
  });

  // `lib` of the last has no DOM: what the types need of it, @types/node has.
  for (const configuration of ["bundler", "nodenext", "node", "vite"]) {
    it(`accepts right use and refuses wrong use, by ${configuration}.json`, async () => {
      await run(tool("tsc"), ["--project", `${configuration}.json`], { cwd });
    });
  }
});
