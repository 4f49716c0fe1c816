import { readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";

import { init, initSync } from "tenantry/slim";

// Buffers are bytes, and so is the promise of one.
initSync(readFileSync("tenantry.wasm"));
await init(await readFile("tenantry.wasm"));
await init(readFile("tenantry.wasm"));
