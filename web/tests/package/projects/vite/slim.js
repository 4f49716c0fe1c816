import * as tenantry from "tenantry/slim";
import wasm from "tenantry/tenantry.wasm?url";

import { story } from "./story.mjs";

await tenantry.init(wasm);
const told = await story(tenantry);
document.querySelector("#story").textContent = JSON.stringify(told);
