import { Header } from "./header";
import { Lab } from "./lab";
import { usePage, useServer } from "./place";
import { Registry } from "./registry";
import { phase, round, unreachable } from "./state";
import { Tenants } from "./tenants";
import { Toasts } from "./toasts";
import { Wire } from "./wire";

export function App() {
  const { value } = phase;
  return (
    <>
      <a class="skip" href="#tenants">
        Skip to the tenants
      </a>
      <Header />
      {value === "starting" && (
        <main class="starting">
          <p role="status">Loading the service…</p>
        </main>
      )}
      {typeof value === "object" && (
        <main class="starting">
          <h1>Tenantry can’t run here</h1>
          <p role="alert">{value.problem}</p>
        </main>
      )}
      {value === "ready" && (
        <div class="columns">
          <main>
            <Unreachable />
            <Tenants />
            <Lab key={round.value} />
            <Registry />
          </main>
          <Wire />
        </div>
      )}
      <Footer />
      <Toasts />
    </>
  );
}

/** Says that the server of the last visit is gone. */
function Unreachable() {
  const { value } = unreachable;
  if (!value) return null;
  return (
    <div class="notice bad" role="alert">
      <p>{value.problem} Until then, this page answers by itself.</p>
      <div class="row">
        <button
          type="button"
          onClick={() => {
            void useServer(value.url).then((problem) => {
              if (problem !== undefined) unreachable.value = { url: value.url, problem };
            });
          }}
        >
          Try {value.url} again
        </button>
        <button type="button" class="quiet" onClick={usePage}>
          Stay in this page
        </button>
      </div>
    </div>
  );
}

function Footer() {
  const { version = "", sha256 = "" } = document.documentElement.dataset;
  return (
    <footer class="foot">
      <p>
        Tenantry {version} · tenantry.wasm <span class="quieter">sha256</span>{" "}
        <code>{sha256.slice(0, 12)}</code>
      </p>
      <p>
        A tenant’s id is not a password, and its colour is this page’s idea. Replies come from a
        mock model. Nothing leaves this page unless you choose a server.
      </p>
    </footer>
  );
}
