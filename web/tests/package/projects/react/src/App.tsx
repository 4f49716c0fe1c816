import { useEffect, useState } from "react";
import * as tenantry from "tenantry";

import { story } from "../story.mjs";
import { Chat } from "./Chat";

const TENANTS = `\
{"id":"acme","name":"Acme Corp","welcome":"Howdy from Acme!"}
{"id":"globex","name":"Globex Inc.","welcome":"Welcome from Globex."}
`;

export function App() {
  const [open, setOpen] = useState<{ app: tenantry.Tenantry; session: tenantry.Session }>();
  const [told, setTold] = useState("");

  useEffect(() => {
    const app = tenantry.Tenantry.fromJsonl(TENANTS);
    setOpen({ app, session: app.createSession("acme") });
    return () => app.free();
  }, []);

  useEffect(() => {
    story(tenantry).then((it) => setTold(JSON.stringify(it)));
  }, []);

  return (
    <>
      <pre id="story">{told}</pre>
      {open && <Chat {...open} tenantId="acme" />}
      {open && <Chat {...open} tenantId="globex" />}
    </>
  );
}
