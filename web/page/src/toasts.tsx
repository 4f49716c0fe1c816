import { useEffect } from "preact/hooks";

import { Icon } from "./icons";
import { toast } from "./state";

/** How long good news is shown. */
const SHOWN_MS = 8_000;

/** The last thing that happened, and its undo. */
export function Toasts() {
  const { value } = toast;
  useEffect(() => {
    // What can be undone, or went wrong, stays until it was read.
    if (!value || value.undo || value.bad) return;
    const timer = setTimeout(() => {
      if (toast.peek() === value) toast.value = undefined;
    }, SHOWN_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [value]);
  return (
    <div class="toasts" role="status" aria-label="Notifications">
      {value && (
        <div class={value.bad ? "toast bad" : "toast"}>
          <p>{value.text}</p>
          {value.undo && (
            <button
              type="button"
              onClick={() => {
                toast.value = undefined;
                value.undo?.();
              }}
            >
              Undo
            </button>
          )}
          <button
            type="button"
            class="bare"
            onClick={() => {
              toast.value = undefined;
            }}
          >
            <Icon name="close" />
            <span class="hidden">Dismiss</span>
          </button>
        </div>
      )}
    </div>
  );
}
