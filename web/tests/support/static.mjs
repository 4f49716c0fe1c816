// A static file server that sends no special headers.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".mjs": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/**
 * Serves folders: `mounts` says which is where, as in `{ "/some/path/": "/folder" }`. Returns
 * the server's address without a path, and how to stop it.
 */
export async function serveStatic(mounts) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const mount = Object.keys(mounts).find((path) => pathname.startsWith(path));
    const inside = mount && normalize(decodeURIComponent(pathname.slice(mount.length)));
    if (inside === undefined || inside.startsWith("..")) return void response.writeHead(404).end();
    const file = join(mounts[mount], inside === "." || inside === "" ? "index.html" : inside);
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
      return void response.writeHead(404).end();
    }
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, stop };
}
