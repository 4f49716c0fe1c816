// Where things are.

import { join, resolve } from "node:path";

/** The root of the repository. */
export const workspace = resolve(import.meta.dirname, "../../..");

/** What `cargo xtask web` builds; `TENANTRY_WEB` in the environment says where it is. */
export const out = resolve(
  process.env.TENANTRY_WEB ??
    join(process.env.CARGO_TARGET_DIR ?? join(workspace, "target"), "web"),
);
