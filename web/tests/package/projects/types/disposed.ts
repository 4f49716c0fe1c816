import { Tenantry } from "tenantry";

using app = Tenantry.fromJsonl("");
const disposable: Disposable = app;
void disposable;
