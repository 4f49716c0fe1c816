// What every runtime does with a line of the suite: a line is a command in JSON, and what is
// returned is what came of it. Bodies are base64.
//
// `{ "new": { tenants, limits, sessionTtlMs, maxSessions } }` makes a service whose clock
// stands still, `{ "wait": ms }` lets time pass, and
// `{ "send": { way, method, target, headers, body } }` is a request, by `handle` or `fetch`.

/** Answers lines with the service of a package. */
export function answers({ Tenantry, TenantryError }) {
  let app;
  let now = 1_700_000_000_000;

  function fresh({ tenants, ...options }) {
    try {
      app = Tenantry.fromJsonl(fromBase64(tenants), { ...options, clock: () => now });
      return { started: true };
    } catch (error) {
      if (!(error instanceof TenantryError)) throw error;
      return { started: false, problems: error.problems.length };
    }
  }

  async function send({ way, method, target, headers, body }) {
    const bytes = body === null ? undefined : fromBase64(body);
    if (way === "handle") {
      const answer = app.handle({ method, target, headers, body: bytes });
      return { ...answer, body: toBase64(answer.body) };
    }
    const made = standard(method, target, headers, bytes);
    if (made.skip) return made;
    const answer = await app.fetch(made.request);
    return {
      status: answer.status,
      headers: [...answer.headers],
      body: toBase64(new Uint8Array(await answer.arrayBuffer())),
    };
  }

  return async (line) => {
    const command = JSON.parse(line);
    try {
      if (command.new) return JSON.stringify(fresh(command.new));
      if (command.wait !== undefined) {
        now += command.wait;
        return "{}";
      }
      return JSON.stringify(await send(command.send));
    } catch (error) {
      return JSON.stringify({ broken: String(error?.stack ?? error) });
    }
  };
}

/** The request as a standard one, or why there is no such thing. */
function standard(method, target, headers, body) {
  if (!target.startsWith("/")) return { skip: "a URL is written anew" };
  const url = new URL(`http://localhost${target}`);
  if (url.host !== "localhost" || url.pathname + url.search !== target) {
    return { skip: "a URL is written anew" };
  }
  const names = headers.map(([name]) => name.toLowerCase());
  if (names.filter((name) => name === "content-type").length > 1) {
    return { skip: "a Request joins headers of one name" };
  }
  if (body && (method === "GET" || method === "HEAD")) {
    return { skip: "a Request to read has no body" };
  }
  let request;
  try {
    // A Request guesses a type for text, and none for bytes.
    request = new Request(url, { method, headers, body });
  } catch {
    return { skip: "a Request can't carry it" };
  }
  if (request.method !== method) return { skip: "a Request writes methods in capitals" };
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1];
  if (type !== undefined && request.headers.get("content-type") !== type) {
    return { skip: "a Request trims headers" };
  }
  return { request };
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));
}

function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
