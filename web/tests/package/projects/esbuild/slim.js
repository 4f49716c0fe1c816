import * as tenantry from "tenantry/slim";
import wasm from "tenantry/tenantry.wasm";

import { story } from "./story.mjs";

tenantry.initSync(wasm);
story(tenantry).then((told) => console.log(JSON.stringify(told)));
