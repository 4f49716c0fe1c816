import { Tenantry, TenantryError, version } from "tenantry";
import { TenantryError as SlimError } from "tenantry/slim";

import { story } from "./story.mjs";

if (TenantryError !== SlimError) throw new Error("there are two classes TenantryError");
story({ Tenantry, TenantryError, version }).then((told) => console.log(JSON.stringify(told)));
