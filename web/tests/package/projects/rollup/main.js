import * as tenantry from "tenantry";

import { story } from "./story.mjs";

story(tenantry).then((told) => console.log(JSON.stringify(told)));
