import * as tenantry from "tenantry/slim";

import { story } from "./story.mjs";

await tenantry.init(new URL("tenantry/tenantry.wasm", import.meta.url));
const told = await story(tenantry);
document.querySelector("#story").textContent = JSON.stringify(told);
