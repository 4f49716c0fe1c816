// What the types say about right use, and that they say it exactly.

import { Tenantry, TenantryError, version } from "tenantry";
import type {
  ChatReply,
  HttpRequest,
  HttpResponse,
  ImportReport,
  LimitState,
  Session,
  TenantInfo,
  TenantryEvent,
  TenantryOptions,
  TenantryState,
  TenantScope,
  TenantsProblem,
  TenantsReport,
  Usage,
} from "tenantry";

import { type Equal, type Is, type NoneAny, is } from "./assert.js";

is<Equal<typeof version, string>>();

const options: TenantryOptions = {
  limits: true,
  sessionTtlMs: 86_400_000,
  maxSessions: 1_000_000,
  maxBodyBytes: 1 << 20,
  storagePrefix: "tenantry:",
  clock: () => Date.now(),
  random: (bytes) => {
    is<Is<typeof bytes, Uint8Array>>();
    crypto.getRandomValues(bytes);
  },
};
const settings: TenantryOptions = { limits: undefined };
Tenantry.fromJsonl("{}", settings);
is<Equal<Parameters<typeof Tenantry.fromJsonl>[0], string | Uint8Array>>();
const app = Tenantry.fromJsonl("{}", options);
Tenantry.fromJsonl(new Uint8Array());
is<Equal<typeof app, Tenantry>>();

const report = Tenantry.check("{}");
is<Equal<typeof report, TenantsReport>>();
is<Equal<typeof report.tenants, number>>();
is<Is<typeof report.problems, readonly TenantsProblem[]>>();
is<Is<typeof report.warnings, readonly TenantsProblem[]>>();
is<Is<typeof app.warnings, readonly TenantsProblem[]>>();
is<Equal<TenantsProblem["line"], number | undefined>>();
is<Equal<TenantsProblem["member"], string | undefined>>();
is<Equal<TenantsProblem["message"], string>>();

const tenants = app.tenants();
is<Is<typeof tenants, readonly TenantInfo[]>>();
is<Equal<TenantInfo["limits"]["chatPer10s"], number | undefined>>();
is<Equal<TenantInfo["reply"]["tag"], string>>();

const session = app.createSession("acme");
is<Equal<typeof session, Session>>();
is<Equal<typeof session.sessionId, string>>();
is<Equal<typeof session.tenant.welcome, string>>();

const reply = app.chat({ tenantId: "acme", sessionId: session.sessionId, message: "hello" });
is<Equal<typeof reply, ChatReply>>();
is<Equal<typeof reply.mock, true>>();
is<Equal<typeof reply.limit, LimitState | undefined>>();
is<Equal<LimitState["remaining"], number>>();
is<Equal<ReturnType<typeof app.usage>, Usage>>();

const scope = app.tenant("acme");
is<Equal<typeof scope, TenantScope>>();
is<Equal<typeof scope.id, string>>();
is<Equal<ReturnType<typeof scope.chat>, ChatReply>>();
is<Equal<ReturnType<typeof scope.info>, TenantInfo>>();
is<Equal<ReturnType<typeof scope.createSession>, Session>>();
scope.chat({ sessionId: session.sessionId, message: "hello" });

const request: HttpRequest = { method: "GET", target: "/" };
const response = app.handle(request);
app.handle({ method: "POST", target: "/chat", headers: { accept: "*/*" }, body: "{}" });
app.handle({ method: "POST", target: "/", headers: [["accept", "*/*"]], body: new Uint8Array() });
app.handle({ method: "POST", target: "/", headers: new Headers(), body: new ArrayBuffer(1) });
is<Equal<typeof response, HttpResponse>>();
is<Equal<typeof response.status, number>>();
is<Is<typeof response.body, Uint8Array>>();
for (const [name, value] of response.headers) {
  is<Equal<[typeof name, typeof value], [string, string]>>();
}

const fetched = app.fetch("http://localhost/", { method: "GET" });
is<Equal<typeof fetched, Promise<Response>>>();
app.fetch(new URL("http://localhost/"));
app.fetch(new Request("http://localhost/"));
// It can stand in for the global one.
const fetcher: typeof fetch = (input, init) => app.fetch(input, init);
void fetcher;

const stop = app.subscribe((event) => {
  is<Equal<typeof event, TenantryEvent>>();
  is<Equal<typeof event.type, "session" | "chat" | "refused" | "limited">>();
  is<Equal<typeof event.tenantId, string | undefined>>();
});
is<Is<ReturnType<typeof stop>, void>>();

const state = app.export();
is<Equal<typeof state, TenantryState>>();
const imported = app.import(JSON.parse(JSON.stringify(state)));
is<Equal<typeof imported, ImportReport>>();
is<Equal<Parameters<typeof app.import>, [state: unknown]>>();
app.clear();
app.free();

function described(error: unknown): string {
  if (!(error instanceof TenantryError)) return String(error);
  is<Is<typeof error, Error>>();
  is<Equal<typeof error.status, number>>();
  is<Is<typeof error.code, string>>();
  is<Is<"wrong_tenant", typeof error.code>>();
  is<Equal<typeof error.retryAfterMs, number | undefined>>();
  is<Equal<typeof error.limit, LimitState | undefined>>();
  is<Equal<typeof error.cause, unknown>>();
  const items = typeof error.detail === "string" ? [] : error.detail;
  const places: (string | number)[] = items.flatMap((item) => [...item.loc]);
  return `${error.code} ${places.join(".")} ${error.problems?.[0]?.message ?? ""}`;
}
void described;

// No member is `any`.
is<NoneAny<[ChatReply, HttpRequest, HttpResponse, ImportReport, LimitState, Session]>>();
is<NoneAny<[TenantInfo, TenantryEvent, TenantryOptions, TenantryState, TenantScope]>>();
is<NoneAny<[TenantsProblem, TenantsReport, Usage, Tenantry, TenantryError]>>();
