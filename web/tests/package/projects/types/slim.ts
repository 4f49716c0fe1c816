import * as inlined from "tenantry";
import * as slim from "tenantry/slim";
import { init, initSync, Tenantry, TenantryError } from "tenantry/slim";
import type { CompiledModule, Session } from "tenantry/slim";

import { type Equal, is } from "./assert.js";

declare const bytes: Uint8Array<ArrayBuffer>;
declare const module: CompiledModule;

const initialised = init(new URL("https://example.org/tenantry.wasm"));
is<Equal<typeof initialised, Promise<void>>>();
void init("/tenantry.wasm");
void init(fetch("/tenantry.wasm"));
void init(bytes);
void init(module);
const done = initSync(bytes);
is<Equal<typeof done, void>>();
initSync(module);
initSync(bytes.buffer);

// @ts-expect-error what has to be fetched can't be had at once
initSync("/tenantry.wasm");
// @ts-expect-error a number is no place
void init(1);
// @ts-expect-error the module is not found by itself
void init();

// Both entries have the same classes.
is<Equal<typeof slim.Tenantry, typeof inlined.Tenantry>>();
is<Equal<typeof slim.TenantryError, typeof inlined.TenantryError>>();
const session: Session = Tenantry.fromJsonl("").createSession("acme");
void [session, TenantryError];
