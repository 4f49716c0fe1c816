import { init, Tenantry } from "tenantry/slim";

console.log("{}");
