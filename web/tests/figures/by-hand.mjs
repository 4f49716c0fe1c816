// The rules once more, as someone would write them in JavaScript for one page: what the
// package's calls are measured against. It has no HTTP, no validation and no error bodies.

const WINDOW_MS = 10_000;
const TTL_MS = 24 * 60 * 60 * 1000;

const VOICES = {
  acme: (m) => `[ACME MOCK] You said: '${m}'. Here's it reversed: '${[...m].reverse().join("")}'`,
  globex: (m) => `[GLOBEX MOCK] Echo: ${m.toUpperCase()}`,
};
const acknowledge = (m) => `[INITECH MOCK] Got it. '${m}'. (pretend-smart summary).`;

/** A service for the tenants of a text. */
export function byHand(text, { limits }) {
  const rows = text.trim().split("\n").map((line) => JSON.parse(line));
  const tenants = new Map(rows.map((row) => [row.id, { ...row, granted: [] }]));
  const sessions = new Map();

  function tenantOf(id) {
    const tenant = tenants.get(id);
    if (!tenant) throw new Error("Unknown tenant_id");
    return tenant;
  }

  function createSession(tenantId) {
    const { id, name, welcome } = tenantOf(tenantId);
    const sessionId = crypto.randomUUID();
    sessions.set(sessionId, { tenantId, usedAt: Date.now() });
    return { sessionId, tenant: { id, name, welcome } };
  }

  function chat({ tenantId, sessionId, message }) {
    const tenant = tenantOf(tenantId);
    const now = Date.now();
    const session = sessions.get(sessionId);
    if (!session || now - session.usedAt > TTL_MS) throw new Error("Unknown session_id");
    if (session.tenantId !== tenantId) throw new Error("Session does not belong to tenant");
    session.usedAt = now;
    const limit = limits ? tenant.limits?.chat_per_10s : undefined;
    if (limit !== undefined) {
      while (tenant.granted.length > 0 && now - tenant.granted[0] >= WINDOW_MS) tenant.granted.shift();
      if (tenant.granted.length >= limit) throw new Error("Rate limit exceeded");
      tenant.granted.push(now);
    }
    const said = (VOICES[tenantId] ?? acknowledge)(message.trim());
    return {
      tenantId,
      sessionId,
      reply: `${tenant.welcome} ${said}`,
      model: tenant.model ?? "mock",
      mock: true,
    };
  }

  return { createSession, chat };
}
