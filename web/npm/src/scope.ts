import type { ChatReply, Session, TenantInfo, TenantryEvent, Usage } from "./types.js";

/**
 * A service as one tenant sees it. Whoever is given this can act for that tenant, and has no
 * way to name another one, or to reach the service behind it.
 */
export interface TenantScope {
  /** The tenant's id. */
  readonly id: string;
  /** The tenant. */
  info(): TenantInfo;
  /**
   * Opens a session.
   *
   * @throws TenantryError `too_many_sessions`
   */
  createSession(): Session;
  /**
   * Says something in a session of this tenant.
   *
   * @throws TenantryError `unknown_session`, `wrong_tenant`, `rate_limited`, `invalid_argument`
   */
  chat(request: { sessionId: string; message: string }): ChatReply;
  /** What the tenant has used. Counts nothing. */
  usage(): Usage;
  /** Hears of what happens to this tenant, and of nothing else. Returns how to stop that. */
  subscribe(listener: (event: TenantryEvent) => void): () => void;
}
