/**
 * The whole service without the WebAssembly module: `await init(...)` says where it is.
 *
 * @packageDocumentation
 */
export { init, initSync, type CompiledModule, type WasmSource } from "./load.js";
export * from "./api.js";
