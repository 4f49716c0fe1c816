import { Engine, initSync as initSync_, type InitOutput, type SyncInitInput } from "./glue.js";

import { TenantryError } from "./errors.js";

/**
 * A `WebAssembly.Module`. Not by that name, which the types of Node do not have; and the DOM's
 * have it without members, so that every text and number would be one.
 */
export type CompiledModule = typeof globalThis extends {
  WebAssembly: { Module: { prototype: infer Module } };
}
  ? Module & object
  : never;

/** Where the WebAssembly module comes from: a place to fetch it from, its bytes, or itself. */
export type WasmSource =
  | string
  | URL
  | Response
  | PromiseLike<Response>
  | ArrayBuffer
  | ArrayBufferView<ArrayBuffer>
  | CompiledModule;

let loaded: InitOutput | undefined;

/**
 * Loads the WebAssembly module; needed once, before anything else. Further calls do nothing.
 *
 * @throws what fetching or compiling throws; it may then be tried again.
 */
export async function init(source: WasmSource | PromiseLike<WasmSource>): Promise<void> {
  if (loaded) return;
  // Nothing happens between the question whether it is loaded and the answer: a module that
  // arrives late must not take the place of one that is in use.
  initSync(await compiled(await source));
}

/** Does what {@link init} does, at once, with the module or its bytes. */
export function initSync(source: ArrayBuffer | ArrayBufferView<ArrayBuffer> | CompiledModule): void {
  loaded ??= initSync_({ module: source as SyncInitInput });
}

async function compiled(source: Awaited<WasmSource>): Promise<CompiledModule> {
  if (source instanceof WebAssembly.Module) return source;
  const given = typeof source === "string" || source instanceof URL ? await fetch(source) : source;
  if (!(given instanceof Response)) return WebAssembly.compile(given);
  if (!given.ok) throw new Error(`${given.url}: ${given.status} ${given.statusText}`);
  // Of another type, a body is not compiled while it comes.
  const streams = given.headers.get("content-type") === "application/wasm";
  if (streams) return WebAssembly.compileStreaming(given);
  return WebAssembly.compile(await given.arrayBuffer());
}

/** @internal The engine's class, once it is there; throws what {@link checkStack} throws. */
export function engineClass(): typeof Engine {
  output();
  checkStack();
  return Engine;
}

/** @internal Bytes of memory that the module holds. */
export function memoryBytes(): number {
  return output().memory.buffer.byteLength;
}

/** Arguments that take 16 KiB of the stack: four times what any call of the engine does. */
const ROOM: readonly undefined[] = new Array<undefined>(2048).fill(undefined);

function nothing(): void {}

/**
 * @internal Throws the platform's `RangeError` where the stack is all but used up. Inside of
 * the engine it would come too late: WebAssembly that is left half way is not cleaned up, and
 * every later call would fail.
 */
export function checkStack(): void {
  Reflect.apply(nothing, undefined, ROOM);
}

function output(): InitOutput {
  if (loaded) return loaded;
  throw new TenantryError(
    "not_initialized",
    'the WebAssembly module is not loaded: first `await init(...)`, or import "tenantry", which loads itself',
  );
}
