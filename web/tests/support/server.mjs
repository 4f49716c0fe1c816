// The server program, as cargo builds it for tests.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { workspace } from "./built.mjs";

/** The tenants that a clone of the project has. */
export const TENANTS = join(workspace, "tenants.jsonl");

const program = process.env.TENANTRY_SERVER ?? join(workspace, "target/debug/tenantry");

/** Starts `tenantry serve` with these arguments. Returns its address without a path, and how to stop it. */
export async function startServer(...args) {
  const server = spawn(
    program,
    ["serve", "--listen", "127.0.0.1:0", "--tenants", TENANTS, ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const kill = () => server.kill("SIGKILL");
  process.once("exit", kill);
  let said = "";
  server.stderr.on("data", (data) => {
    said = (said + data).slice(-4_000);
  });
  const ended = once(server, "close");
  const [address] = await Promise.race([
    once(createInterface(server.stdout), "line"),
    ended.then(() => Promise.reject(new Error(`the server did not start: ${said}`))),
  ]);
  const stop = async () => {
    server.kill();
    await ended;
    process.off("exit", kill);
  };
  return { origin: `http://${address}`, stop };
}
