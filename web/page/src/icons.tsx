//! The few icons, drawn on a grid of 16. They are decoration: names are beside them.

const PATHS = {
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  send: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  close: "m4 4 8 8M12 4l-8 8",
  key: "M10.5 8.5a3 3 0 1 0-3-3c0 .4.1.8.2 1.2L2.5 12v1.5H5V12h1.5v-1.500H8l.8-1.2c.5.1 1.1.2 1.7.2Z",
  carry: "M2.5 8h11M9.5 4l4 4-4 4",
  moon: "M13 9.500A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.500Z",
  undo: "M3 6h6.500a3.5 3.5 0 0 1 0 7H6M5.5 3 2.5 6l3 3",
  search: "M7 11.500a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.5 10.5 14 14",
  down: "M8 2.500v8M4.5 7 8 10.5 11.5 7M2.5 13.500h11",
  place: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  plus: "M8 3v10M3 8h10",
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The sign of Tenantry: rooms that share a house and no door. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect class="logo-ground" width="32" height="32" rx="8" />
      <rect class="logo-room" x="7" y="7" width="8" height="18" rx="2" />
      <rect class="logo-room faint" x="17" y="7" width="8" height="8" rx="2" />
      <rect class="logo-room faint" x="17" y="17" width="8" height="8" rx="2" />
    </svg>
  );
}
