/**
 * The same as `index.ts` where modules may not be compiled at run time: there, an import of
 * the file gives the compiled module.
 *
 * @packageDocumentation
 */
import module from "./tenantry.wasm";

import { initSync } from "./load.js";

initSync(module);

export * from "./api.js";
