import * as tenantry from "tenantry";

import { story } from "./story.mjs";

export default {
  async fetch() {
    return Response.json(await story(tenantry));
  },
};
