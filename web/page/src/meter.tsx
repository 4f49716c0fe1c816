import { useEffect, useRef } from "preact/hooks";

import { left, seconds, words } from "./limits";
import { conversations, now, place, quotas, waits } from "./state";
import { own } from "./own";

/** What is left of a tenant's limit, live; `row` is the limit that its row names. */
export function Limit({ id, name, row }: { id: string; name: string; row: number | undefined }) {
  const state = own(quotas.value, id);
  const known = state
    ? left(state, now.value)
    : row === undefined
      ? undefined
      : { limit: row, remaining: row };
  const bar = useRef<HTMLDivElement>(null);
  const share = known && known.limit > 0 ? known.remaining / known.limit : 0;
  useEffect(() => {
    bar.current?.style.setProperty("--share", String(share));
  }, [share]);
  if (!known) {
    const chatted = own(conversations.value, id)?.messages.some(({ kind }) => kind === "said");
    if (place.value === undefined) return <p class="limit">No limit</p>;
    return (
      <p class="limit">
        {chatted ? "No limit that this page can see" : "The first chat tells the limit"}
      </p>
    );
  }
  const waiting = (own(waits.value, id) ?? 0) > now.value;
  const spent = known.remaining === 0;
  return (
    <>
      <div
        class="meter"
        role="meter"
        aria-label={`Chats that ${name} has left`}
        aria-valuemin={0}
        aria-valuemax={known.limit}
        aria-valuenow={known.remaining}
        aria-valuetext={words(known)}
        ref={bar}
      >
        <div class="fill" />
      </div>
      <div class={spent ? "limit spent" : "limit"}>
        <p aria-hidden="true">
          {spent && known.moreInMs !== undefined ? "Spent for" : words(known)}
        </p>
        {spent && known.moreInMs !== undefined && (
          <p class="countdown" role="timer" aria-label={`Until ${name} may chat again`}>
            {seconds(known.moreInMs)}
          </p>
        )}
        <p class="hidden" role="status">
          {waiting && spent ? `${name} has no chats left for some seconds.` : ""}
        </p>
      </div>
    </>
  );
}
