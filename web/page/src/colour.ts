//! Each tenant's colour: a hue from its id, in a lightness that can be read in both themes.

/** Lightness and chroma of text and fills in a tenant's colour. */
export const ACCENT = { light: [0.47, 0.125], dark: [0.8, 0.105] } as const;
/** Those of the quiet backgrounds behind such text. */
export const TINT = { light: [0.955, 0.022], dark: [0.285, 0.035] } as const;

const HUES = 12;

/** The hue that an id asks for, as one of 12 places on the wheel. */
export function place(id: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return (hash ^ (hash >>> 15)) % HUES;
}

/** A hue in degrees for each id. Ids that stand together get different ones while there are some. */
export function hues(ids: readonly string[]): Map<string, number> {
  const taken = new Set<number>();
  const found = new Map<string, number>();
  for (const id of ids) {
    if (taken.size === HUES) taken.clear();
    const at = free(place(id), taken);
    taken.add(at);
    found.set(id, at * (360 / HUES) + 10);
  }
  return found;
}

/** The place that is asked for, or the next one that is as far as can be from those taken. */
function free(wanted: number, taken: ReadonlySet<number>): number {
  const distance = (a: number, b: number) => {
    const apart = Math.abs(a - b);
    return Math.min(apart, HUES - apart);
  };
  for (const apart of [3, 2, 1]) {
    for (let step = 0; step < HUES; step++) {
      const at = (wanted + step) % HUES;
      if ([...taken].every((other) => distance(at, other) >= apart)) return at;
    }
  }
  return wanted;
}

/** The CSS properties of an element in that hue. */
export function properties(hue: number): Record<string, string> {
  const colour = ([lightness, chroma]: readonly [number, number]) =>
    `oklch(${lightness} ${chroma} ${hue})`;
  return {
    "--accent-light": colour(ACCENT.light),
    "--accent-dark": colour(ACCENT.dark),
    "--tint-light": colour(TINT.light),
    "--tint-dark": colour(TINT.dark),
  };
}
