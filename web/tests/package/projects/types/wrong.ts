// Wrong use that the types refuse. A line that they would let through fails as well: then
// there is no error that `@ts-expect-error` expects.

import { Tenantry, TenantryError } from "tenantry";
import type { LimitState, TenantsProblem } from "tenantry";

declare const app: Tenantry;
declare const error: TenantryError;
declare const limit: LimitState;
declare const problem: TenantsProblem;

// @ts-expect-error a Tenantry is made by fromJsonl
new Tenantry();
// @ts-expect-error tenants are text
Tenantry.fromJsonl([{ id: "acme" }]);
// @ts-expect-error there is no such option
Tenantry.fromJsonl("", { ttl: 10 });
// @ts-expect-error a time is a number
Tenantry.fromJsonl("", { sessionTtlMs: "1h" });
// @ts-expect-error a session is opened for a tenant
app.createSession();
// @ts-expect-error members are in camel case
app.chat({ tenant_id: "acme", session_id: "", message: "" });
// @ts-expect-error a chat names its session
app.chat({ tenantId: "acme", message: "" });
// @ts-expect-error a message is text
app.chat({ tenantId: "acme", sessionId: "", message: 1 });
// @ts-expect-error a scope acts for its own tenant alone
app.tenant("acme").chat({ tenantId: "globex", sessionId: "", message: "" });
// @ts-expect-error a scope acts for its own tenant alone
app.tenant("acme").createSession("globex");
// @ts-expect-error a scope stays what it is
app.tenant("acme").id = "globex";
// @ts-expect-error a request has a target
app.handle({ method: "GET" });
// @ts-expect-error a body is text or bytes
app.handle({ method: "POST", target: "/chat", body: {} });
// @ts-expect-error the answer comes later
app.fetch("http://localhost/").status;
// @ts-expect-error there is no event of that type
app.subscribe((event) => event.type === "message");
// @ts-expect-error there is no such code
void (error.code === "wrong_tennant");
// @ts-expect-error a limit need not be there
error.limit.remaining;
// @ts-expect-error an error stays what it is
error.status = 200;
// @ts-expect-error a problem need not have a line
problem.line + 1;
// @ts-expect-error there is no such member
limit.left;
// @ts-expect-error the entry that loads itself has nothing to initialise
import { init } from "tenantry";
// @ts-expect-error the parts inside are not for use
import {} from "tenantry/dist/index.js";

void init;
