import { useRef } from "preact/hooks";

import { Icon, Logo } from "./icons";
import { PlaceDialog } from "./place-dialog";
import { reset } from "./place";
import { log, phase, place } from "./state";
import { dark, toggleTheme } from "./theme";

export function Header() {
  const dialog = useRef<HTMLDialogElement>(null);
  const ready = phase.value === "ready";
  return (
    <header class="head">
      <a class="brand" href="#top">
        <Logo />
        Tenantry
      </a>
      {ready && (
        <nav aria-label="Sections">
          <a href="#tenants">Tenants</a>
          <a href="#isolation">Isolation</a>
          <a href="#registry">Registry</a>
          <a href="#wire">
            Wire <span class="count">{log.value.length}</span>
          </a>
        </nav>
      )}
      <div class="tools">
        {ready && (
          <button
            type="button"
            class="chip place"
            aria-haspopup="dialog"
            onClick={() => dialog.current?.showModal()}
          >
            <span class={place.value === undefined ? "lamp" : "lamp remote"} aria-hidden="true" />
            <span class="clip">
              Runs {place.value === undefined ? "in this page" : `on ${short(place.value)}`}
            </span>
          </button>
        )}
        <button
          type="button"
          class="bare"
          aria-pressed={dark.value}
          onClick={toggleTheme}
          title="Dark theme"
        >
          <Icon name="moon" />
          <span class="hidden">Dark theme</span>
        </button>
        {ready && (
          <button type="button" class="bare" onClick={() => void reset()} title="Reset">
            <Icon name="undo" />
            <span class="hidden">Reset</span>
          </button>
        )}
      </div>
      {ready && <PlaceDialog dialog={dialog} />}
    </header>
  );
}

/** A URL without what goes without saying. */
function short(url: string): string {
  return url.replace(/^https?:\/\//, "").replace(/\/$/, "");
}
