/**
 * The whole service, ready at once: the WebAssembly module is part of this file.
 *
 * @packageDocumentation
 */
import { initSync } from "./load.js";
import { base64 } from "./wasm.base64.js";

initSync(Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0)));

export * from "./api.js";
