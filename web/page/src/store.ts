//! What survives a reload: this page's own entries of localStorage, where there is one.

/** localStorage where it can be written to: not in files and private windows of some browsers. */
export const storage: Storage | undefined = usable();

const PREFIX = "tenantry-page:";

/** The entries that this page keeps. */
export type Entry = "text" | "draft" | "views" | "place" | "theme";

function usable(): Storage | undefined {
  try {
    const found = window.localStorage;
    found.setItem("tenantry-page:probe", "1");
    found.removeItem("tenantry-page:probe");
    return found;
  } catch {
    return undefined;
  }
}

/** The entry as it was written; none where there is none. */
export function read(entry: Entry): string | undefined {
  try {
    return storage?.getItem(PREFIX + entry) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Writes the entry, or removes it where there is no value. A full storage keeps what it had. */
export function write(entry: Entry, value: string | undefined): void {
  try {
    if (value === undefined) storage?.removeItem(PREFIX + entry);
    else storage?.setItem(PREFIX + entry, value);
  } catch {
    // The page works without.
  }
}
