//! Why a server did not answer, and what to do about it.

/** This page's origin as servers see it: that of a page opened from a disk is `null`. */
export function pageOrigin(): string {
  return location.protocol === "file:" ? "null" : location.origin;
}

/** One or two sentences for people. Asks the server once more to tell a refusal from silence. */
export async function diagnosis(url: string, error: unknown): Promise<string> {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return `${url} gave no answer within 15 seconds. Is it overloaded, or is something else listening there?`;
  }
  const { protocol, host } = new URL(url);
  if (location.protocol === "https:" && protocol === "http:" && !loopback(url)) {
    return `This page was loaded over HTTPS, and browsers then refuse plain HTTP to ${host}. Put a proxy with TLS in front of the server, or open the single-file page from your disk.`;
  }
  if (await listens(url)) {
    const file =
      pageOrigin() === "null" ? " (a page that is opened as a file has the origin null)" : "";
    return `${host} is there, but does not let this page read its answers. Start it with “tenantry serve --cors-origin ${pageOrigin()}”${file}.`;
  }
  return `Nothing answers at ${host}. Is the server running? “tenantry serve --cors-origin ${pageOrigin()}” starts one on 127.0.0.1:8001.`;
}

/** Whether anything answers, readable or not. */
async function listens(url: string): Promise<boolean> {
  try {
    const options = { mode: "no-cors", cache: "no-store", credentials: "omit" } as const;
    await fetch(url, { ...options, signal: AbortSignal.timeout(5_000) });
    return true;
  } catch {
    return false;
  }
}

/** Whether it is this machine, which browsers trust without TLS. */
function loopback(url: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);
}

/** What a person typed as a server's URL with its last slash; none where it is no http URL. */
export function serverUrl(typed: string): string | undefined {
  const text = typed.trim();
  if (text === "") return undefined;
  try {
    const url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
    if (!/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
      return undefined;
    return url.origin + url.pathname.replace(/\/*$/, "/");
  } catch {
    return undefined;
  }
}

/** Where a server's own page is, as seen from the page's URL: the server, or none. */
export function home(page: string): string | undefined {
  const { protocol, origin, pathname } = new URL(page);
  const found = /^(.*\/)demo\/[^/]*$/.exec(pathname)?.[1];
  return /^https?:$/.test(protocol) && found !== undefined ? origin + found : undefined;
}
