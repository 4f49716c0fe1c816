// What every project does with the package: see harness.mjs.

const TENANTS = `\
{"id":"acme","name":"Acme Corp","welcome":"Howdy from Acme!","model":"mock-1","limits":{"chat_per_10s":8}}
{"id":"globex","name":"Globex Inc.","welcome":"Welcome from Globex.","model":"mock-2","limits":{"chat_per_10s":4}}
`;

const BAD_TENANTS = `\
{"id":"acme","name":"Acme Corp"}
{"id":"globex","name":"Globex Inc.","welcome":"Hi","reply":{"style":"sing"}}
`;

/**
 * A chat with acme; acme's session taken to globex; a tenants text with problems; a request.
 *
 * @param {Pick<typeof import("tenantry"), "Tenantry" | "TenantryError" | "version">} tenantry
 */
export async function story({ Tenantry, TenantryError, version }) {
  const app = Tenantry.fromJsonl(TENANTS, { clock: () => 1_000_000 });
  const session = app.createSession("acme");
  const { sessionId } = session;
  const chat = app.chat({ tenantId: "acme", sessionId, message: "hello" });

  const crossed = thrown(() => app.chat({ tenantId: "globex", sessionId, message: "hello" }));
  const { name, status, code, detail } = crossed;
  const refusal = { own: crossed instanceof TenantryError, name, status, code, detail };

  const bad = thrown(() => Tenantry.fromJsonl(BAD_TENANTS));
  const refused = { own: bad instanceof TenantryError, code: bad.code, problems: bad.problems };

  const response = await app.fetch("http://localhost/");
  const fetched = [
    response.status,
    response.headers.get("content-type"),
    await response.text(),
  ];
  app.free();
  return { version, session, chat, refusal, refused, fetched };
}

/**
 * @param {() => unknown} call
 * @returns {import("tenantry").TenantryError}
 */
function thrown(call) {
  try {
    call();
  } catch (error) {
    return /** @type {import("tenantry").TenantryError} */ (error);
  }
  throw new Error("nothing was thrown");
}
