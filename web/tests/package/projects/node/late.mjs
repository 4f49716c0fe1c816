// The module is loaded at once while another one is still on its way.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import * as tenantry from "tenantry/slim";

import { story } from "./story.mjs";

const wasm = readFileSync(createRequire(import.meta.url).resolve("tenantry/tenantry.wasm"));
let rest;
const body = new ReadableStream({
  start(controller) {
    controller.enqueue(wasm.subarray(0, 1000));
    rest = () => {
      controller.enqueue(wasm.subarray(1000));
      controller.close();
    };
  },
});
const late = tenantry.init(
  new Response(body, { headers: { "content-type": "application/wasm" } }),
);
await new Promise((resolve) => setImmediate(resolve));
tenantry.initSync(wasm);
const app = tenantry.Tenantry.fromJsonl('{"id":"acme","name":"Acme Corp","welcome":"Howdy!"}');
const { sessionId } = app.createSession("acme");
rest();
await late;
const { reply } = app.chat({ tenantId: "acme", sessionId, message: "hello" });
if (!reply.startsWith("Howdy!")) throw new Error(reply);
console.log(JSON.stringify(await story(tenantry)));
