import * as tenantry from "tenantry";

import { story } from "./story.mjs";

console.log(JSON.stringify(await story(tenantry)));
