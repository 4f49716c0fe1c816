// The suite in workerd: `node workerd.mjs PACKAGE`. The worker is bundled as for a deployment:
// with the condition `workerd`, and the WebAssembly module beside it.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { Miniflare } from "miniflare";

import { answerLines } from "./lines.mjs";

const folder = process.argv[2];
const WORKER = `
  import * as tenantry from ${JSON.stringify(join(folder, "dist/index.workerd.js"))};
  import { answers } from ${JSON.stringify(join(import.meta.dirname, "answers.mjs"))};
  const answer = answers(tenantry);
  export default {
    fetch: async (request) => new Response(await answer(await request.text())),
  };
`;
const { outputFiles } = await build({
  stdin: { contents: WORKER, resolveDir: import.meta.dirname },
  bundle: true,
  format: "esm",
  external: ["*.wasm"],
  write: false,
});
const miniflare = new Miniflare({
  modules: [
    { type: "ESModule", path: "worker.js", contents: outputFiles[0].text },
    {
      type: "CompiledWasm",
      path: "tenantry.wasm",
      contents: await readFile(join(folder, "dist/tenantry.wasm")),
    },
  ],
  compatibilityDate: "2026-07-01",
});
const answer = async (body) => {
  const response = await miniflare.dispatchFetch("http://localhost/", { method: "POST", body });
  return response.text();
};
await answerLines(answer, () => miniflare.dispose());
