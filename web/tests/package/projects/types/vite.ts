import { init } from "tenantry/slim";
import url from "tenantry/tenantry.wasm?url";

await init(url);
