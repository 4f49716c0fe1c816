import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import * as tenantry from "tenantry/slim";

import { story } from "./story.mjs";

const wasm = createRequire(import.meta.url).resolve("tenantry/tenantry.wasm");
await tenantry.init(readFile(wasm));
console.log(JSON.stringify(await story(tenantry)));
