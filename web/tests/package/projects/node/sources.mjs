// `node sources.mjs KIND`: each kind of thing that `init` takes. It can be tried again.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

import * as tenantry from "tenantry/slim";

import { story } from "./story.mjs";

const bytes = readFileSync(createRequire(import.meta.url).resolve("tenantry/tenantry.wasm"));
const server = createServer((request, response) => {
  const found = request.url === "/missing" ? 404 : 200;
  const type = request.url === "/wasm" ? "application/wasm" : "application/octet-stream";
  response.writeHead(found, { "content-type": type }).end(bytes);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const SOURCES = {
  address: () => `${origin}/wasm`,
  URL: () => new URL("/wasm", origin),
  "address of another type": () => `${origin}/bytes`,
  Response: () => new Response(bytes, { headers: { "content-type": "application/wasm" } }),
  "promise of a Response": () => fetch(`${origin}/wasm`),
  Uint8Array: () => new Uint8Array(bytes),
  ArrayBuffer: () => new Uint8Array(bytes).buffer,
  "promise of bytes": () => Promise.resolve(bytes),
  module: () => new WebAssembly.Module(bytes),
};

await assert.rejects(tenantry.init(`${origin}/missing`), /404/);
await assert.rejects(tenantry.init(new TextEncoder().encode("nonsense")), WebAssembly.CompileError);
await tenantry.init(SOURCES[process.argv[2]]());
// Not even looked at any more.
await tenantry.init(`${origin}/missing`);
console.log(JSON.stringify(await story(tenantry)));
server.close();
server.closeAllConnections();
