//! What goes over the wire: a call, its answer, and both together as the log keeps them.

export type Header = readonly [name: string, value: string];

/** A request, wherever it is answered. */
export interface Call {
  readonly method: "GET" | "POST";
  /** The path on the service, with its slash. */
  readonly path: string;
  readonly headers: readonly Header[];
  readonly body?: string | Uint8Array<ArrayBuffer>;
  /** The tenant that it is about, for filters. */
  readonly tenant?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: readonly Header[];
  readonly body: string;
}

/** A call with its answer, or why there is none. */
export interface Exchange {
  /** Counts up from 1; unique on this page. */
  readonly id: number;
  /** When the call was made, in ms since 1970. */
  readonly at: number;
  /** The server's URL with its last slash; none for this page. */
  readonly server?: string;
  readonly call: Call;
  readonly answer?: Answer;
  /** What to do about it, in a sentence; only where there is no answer. */
  readonly failure?: string;
  /** The time that it took. */
  readonly ms: number;
}

const JSON_HEADERS: readonly Header[] = [["content-type", "application/json"]];

export const listTenants: Call = { method: "GET", path: "/", headers: [] };

export function openSession(tenant: string): Call {
  return post("/session", JSON.stringify({ tenant_id: tenant }), tenant);
}

export function chat(tenant: string, session: string, message: string): Call {
  const body = { tenant_id: tenant, session_id: session, message };
  return post("/chat", JSON.stringify(body), tenant);
}

/** A POST of a body that says it is JSON, whatever it holds. */
export function post(path: string, body: string | Uint8Array<ArrayBuffer>, tenant?: string): Call {
  const call = { method: "POST", path, headers: JSON_HEADERS, body } as const;
  return tenant === undefined ? call : { ...call, tenant };
}

/** The first header of that name, which is in lower case. */
export function header(answer: Answer, name: string): string | undefined {
  return answer.headers.find(([key]) => key.toLowerCase() === name)?.[1];
}

/** An answer's body as a JSON object; none where it is something else. */
export function object(answer: Answer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(answer.body);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What an error answer says, as one line for people. */
export function detail(answer: Answer): string {
  const said = object(answer)?.["detail"];
  if (typeof said === "string") return said;
  if (!Array.isArray(said)) return answer.body.slice(0, 200);
  const items: unknown[] = said;
  return items.filter(isObject).map(item).join("; ");
}

function item(item: Readonly<Record<string, unknown>>): string {
  const { loc, msg, ctx } = item;
  const where = Array.isArray(loc) ? loc.join(".") : "";
  const error = isObject(ctx) ? ctx["error"] : undefined;
  const more = typeof error === "string" ? `: ${error}` : "";
  return `${typeof msg === "string" ? msg : "invalid"}${more} (${where})`;
}

/** A body as text; bytes that are no UTF-8 as `\xff`. */
export function text(body: string | Uint8Array): string {
  if (typeof body === "string") return body;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    const shown = (byte: number) =>
      byte >= 0x20 && byte < 0x7f
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, "0")}`;
    return Array.from(body, shown).join("");
  }
}

/** The size of a body in bytes. */
export function size(body: string | Uint8Array | undefined): number {
  if (body === undefined) return 0;
  return typeof body === "string" ? new TextEncoder().encode(body).length : body.length;
}
