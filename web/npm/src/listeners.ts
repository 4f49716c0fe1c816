import type { TenantryEvent } from "./types.js";

/** Who wants to know what happens. */
export class Listeners {
  readonly #all = new Set<{ readonly call: (event: TenantryEvent) => void }>();

  /** Adds a listener; the same one may be added more than once. Returns how to take it off. */
  add(call: (event: TenantryEvent) => void): () => void {
    const entry = { call };
    this.#all.add(entry);
    return () => void this.#all.delete(entry);
  }

  /** Whether nobody listens. */
  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  /**
   * Tells everybody who listens at this moment, and still does when it is their turn. What a
   * listener throws is reported, and stops nothing.
   */
  tell(event: TenantryEvent): void {
    for (const entry of [...this.#all]) {
      if (!this.#all.has(entry)) continue;
      const { call } = entry;
      try {
        call(event);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** Reports an error that no caller waits for, as platforms do for their own listeners. */
function report(error: unknown): void {
  if (typeof globalThis.reportError === "function") {
    globalThis.reportError(error);
  } else {
    queueMicrotask(() => {
      throw error;
    });
  }
}
