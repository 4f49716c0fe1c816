import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import * as tenantry from "tenantry/slim";

import { story } from "./story.mjs";

const wasm = fileURLToPath(import.meta.resolve("tenantry/tenantry.wasm"));
await tenantry.init(await readFile(wasm));
console.log(JSON.stringify(await story(tenantry)));
