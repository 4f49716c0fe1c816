/** What an import of a `.wasm` file gives where the platform compiles it. */
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
