import { createRequire } from "node:module";

import * as tenantry from "tenantry";
import * as slim from "tenantry/slim";

const required = createRequire(import.meta.url)("tenantry");
const error = [tenantry, slim, required].map((entry) => entry.TenantryError);
const app = [tenantry, slim, required].map((entry) => entry.Tenantry);
console.log(JSON.stringify([new Set(error).size, new Set(app).size]));
