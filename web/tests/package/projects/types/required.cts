import tenantry = require("tenantry");
import slim = require("tenantry/slim");

const app: tenantry.Tenantry = tenantry.Tenantry.fromJsonl("");
const session: tenantry.Session = app.createSession("acme");
slim.initSync(new Uint8Array());

// @ts-expect-error there is no default export
tenantry.default;

export = session;
