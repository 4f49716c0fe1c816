import * as tenantry from "tenantry/slim";
import wasm from "tenantry/tenantry.wasm";

import { story } from "./story.mjs";

tenantry.initSync(wasm);

export default {
  async fetch() {
    return Response.json(await story(tenantry));
  },
};
