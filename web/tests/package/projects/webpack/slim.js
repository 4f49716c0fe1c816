import { readFileSync } from "node:fs";

import * as tenantry from "tenantry/slim";

import { story } from "./story.mjs";

tenantry.initSync(readFileSync(new URL("tenantry/tenantry.wasm", import.meta.url)));
story(tenantry).then((told) => console.log(JSON.stringify(told)));
