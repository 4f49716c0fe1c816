import { Tenantry, TenantryError } from "tenantry/slim";

try {
  Tenantry.fromJsonl("");
} catch (error) {
  console.log(JSON.stringify([error instanceof TenantryError, error.status, error.code]));
}
