// Programs that the system has.

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** The first of these programs that is there; the variable may name another one. */
export function find(variable, names) {
  if (process.env[variable]) return process.env[variable];
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return paths.find((candidate) => existsSync(candidate));
}
