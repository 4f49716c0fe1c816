import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";

import { pageOrigin } from "./diagnosis";
import { usePage, useServer } from "./place";
import { homeServer, place, toast } from "./state";

const OTHER = "other";

/** Where the service runs: in this page, on the server that the page came from, or at a URL. */
export function PlaceDialog({ dialog }: { dialog: RefObject<HTMLDialogElement | null> }) {
  const choice = useSignal<string | undefined>(undefined);
  const typed = useSignal("");
  const problem = useSignal("");
  const busy = useSignal(false);
  const home = homeServer.value;
  const at = place.value;
  const current = at === undefined ? "page" : at === home ? "home" : OTHER;
  const chosen = choice.value ?? current;
  const url = typed.value || (current === OTHER ? (at ?? "") : "");

  const close = () => {
    choice.value = undefined;
    problem.value = "";
    dialog.current?.close();
  };
  const submit = async () => {
    problem.value = "";
    if (chosen === "page") {
      usePage();
      toast.value = { text: "The service runs in this page" };
      close();
      return;
    }
    const target = chosen === "home" ? (home ?? "") : url || "127.0.0.1:8001";
    busy.value = true;
    const why = await useServer(target);
    busy.value = false;
    if (why === undefined) {
      toast.value = { text: `Connected to ${place.value ?? target}` };
      close();
    } else {
      problem.value = why;
    }
  };
  const option = (value: string, title: string, text: string) => (
    <label class="option">
      <input
        type="radio"
        name="place"
        value={value}
        checked={chosen === value}
        onChange={() => {
          choice.value = value;
          problem.value = "";
        }}
      />
      <span>
        <strong>{title}</strong>
        <span class="hint">{text}</span>
      </span>
    </label>
  );

  return (
    <dialog ref={dialog} aria-labelledby="place-title" onClose={close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <h2 id="place-title">Where it runs</h2>
        <p class="hint">
          The same rules answer in both places; this page only shows what they say.
        </p>
        <fieldset class="stack">
          <legend class="hidden">Place</legend>
          {home !== undefined &&
            option("home", "The server of this page", `${home}, which sent you this page`)}
          {option(
            "page",
            "In this page",
            "The core as WebAssembly. Works offline; sessions stay in this browser.",
          )}
          {option(OTHER, "A server by URL", "A running “tenantry serve”, through fetch.")}
        </fieldset>
        <label class="field">
          Server URL
          <input
            type="text"
            inputMode="url"
            autocomplete="off"
            spellcheck={false}
            placeholder="http://127.0.0.1:8001"
            value={url}
            aria-describedby="place-url-hint"
            onInput={(event) => {
              typed.value = event.currentTarget.value;
              choice.value = OTHER;
            }}
          />
        </label>
        <p class="hint" id="place-url-hint">
          The server has to allow this page:{" "}
          <code>tenantry serve --cors-origin {pageOrigin()}</code>
        </p>
        <div role="alert">{problem.value && <p class="notice bad">{problem.value}</p>}</div>
        <div class="row end">
          <button type="button" class="quiet" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy.value}>
            {busy.value ? "Connecting…" : "Use this place"}
          </button>
        </div>
      </form>
    </dialog>
  );
}
