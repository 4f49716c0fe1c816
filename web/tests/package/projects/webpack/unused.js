import { Tenantry } from "tenantry";

console.log("{}");
