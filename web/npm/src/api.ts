export { Tenantry } from "./tenantry.js";
export type { TenantScope } from "./scope.js";
export { TenantryError, type ErrorCode, type ValidationItem } from "./errors.js";
export { version } from "./version.js";
export type * from "./types.js";
