import * as tenantry from "tenantry";

import { story } from "./story.mjs";

const told = await story(tenantry);
document.querySelector("#story").textContent = JSON.stringify(told);
