import { TenantryError, invalidArgument } from "./errors.js";
import type { HttpRequest, HttpResponse } from "./types.js";

/** A request as the engine takes it. */
export interface RawRequest {
  readonly method: string;
  readonly target: string;
  /** The first `content-type` header, a character for each byte. */
  readonly contentType: string | undefined;
  /** The caller's to change no more. Of one that is too long, the part that shows it. */
  readonly body: Uint8Array;
}

/** Characters that a method, a target or a content type may have, as in the server's heads. */
const MAX_HEAD = 64 * 1024;

const NONE = new Uint8Array();
const encoder = new TextEncoder();

/** Reads a caller's request, each member once. Its body may have `maxBytes`. */
export function rawRequest(request: HttpRequest, maxBytes: number): RawRequest {
  if (typeof request !== "object" || request === null) {
    throw invalidArgument("the request must be an object with a method and a target");
  }
  const { method, target, headers, body } = request;
  if (typeof method !== "string") throw invalidArgument("request.method must be a string");
  if (typeof target !== "string") {
    throw invalidArgument("request.target must be a string such as /chat");
  }
  const contentType = headers === undefined ? undefined : firstContentType(headers);
  checkHead(method, target, contentType);
  const bytes = body === undefined ? NONE : bytesOf(body, maxBytes);
  if (bytes) return { method, target, contentType, body: bytes };
  throw invalidArgument("request.body must be a string, an ArrayBuffer or a view of one");
}

/** A POST of texts as members of a JSON object. */
export function jsonRequest(target: string, members: Readonly<Record<string, string>>): RawRequest {
  // Not as an object: on its prototype somebody may have put a `toJSON`.
  const pairs = Object.entries(members).map(([name, value]) => `"${name}":${JSON.stringify(value)}`);
  const text = `{${pairs.join(",")}}`;
  return { method: "POST", target, contentType: undefined, body: encoder.encode(text) };
}

/**
 * A copy of what a text or a buffer holds, cut off behind `maxBytes` and one more;
 * `undefined` where it is neither.
 */
export function bytesOf(value: unknown, maxBytes: number): Uint8Array | undefined {
  const most = maxBytes + 1;
  // A character takes at least one byte.
  if (typeof value === "string") return encoder.encode(value.slice(0, most));
  try {
    // A view's members may be the caller's code; what the buffer is, `slice` finds out.
    const view = ArrayBuffer.isView(value) ? value : undefined;
    const { buffer, byteOffset, byteLength } = view ?? {
      buffer: value as ArrayBuffer,
      byteOffset: 0,
      byteLength: most,
    };
    const end = byteOffset + Math.min(byteLength, most);
    const copy = isShared(buffer)
      ? SharedArrayBuffer.prototype.slice.call(buffer, byteOffset, end)
      : ArrayBuffer.prototype.slice.call(buffer, byteOffset, end);
    return new Uint8Array(copy);
  } catch {
    return undefined;
  }
}

function isShared(buffer: ArrayBufferLike): buffer is SharedArrayBuffer {
  return typeof SharedArrayBuffer === "function" && buffer instanceof SharedArrayBuffer;
}

function checkHead(method: string, target: string, contentType: string | undefined): void {
  if (Math.max(method.length, target.length, contentType?.length ?? 0) <= MAX_HEAD) return;
  const what = "the method, the target and the content type";
  throw invalidArgument(`${what} may have ${MAX_HEAD} characters each`);
}

function firstContentType(headers: NonNullable<HttpRequest["headers"]>): string | undefined {
  if (typeof headers !== "object" || headers === null) {
    throw invalidArgument("request.headers must be a Headers object, pairs, or an object");
  }
  try {
    return contentTypeIn(headers);
  } catch (error) {
    if (error instanceof TenantryError) throw error;
    throw invalidArgument("request.headers can't be read", error);
  }
}

function contentTypeIn(headers: NonNullable<HttpRequest["headers"]>): string | undefined {
  const pairs: Iterable<unknown> = Symbol.iterator in headers ? headers : Object.entries(headers);
  for (const pair of pairs) {
    const [name, value]: unknown[] = Array.isArray(pair) ? [pair[0], pair[1]] : [];
    if (typeof name !== "string" || typeof value !== "string") {
      throw invalidArgument("request.headers must have a string as name and value of each");
    }
    if (name.toLowerCase() !== "content-type") continue;
    if (/[^\0-\xff]/.test(value)) {
      throw invalidArgument("the content-type header must be Latin-1");
    }
    return value;
  }
  return undefined;
}

/** Whatever is not whole Unicode: halves of surrogate pairs. */
const HALF_OF_A_PAIR = /\p{Cs}/u;

/** Where a text has half of a surrogate pair, counted in UTF-16 units; -1 where nowhere. */
export function unpairedAt(text: string): number {
  return text.search(HALF_OF_A_PAIR);
}

/** What `fetch` takes, as a request; a path, or what is relative to `/`, is an address. */
export function standardRequest(input: Request | string | URL, init?: RequestInit): Request {
  // No request leaves this process: the host has no meaning.
  if (typeof input !== "string") return new Request(input, init);
  // To a URL, `//` would be the start of a host.
  const isPath = input.startsWith("/");
  const url = isPath ? new URL(`http://localhost${input}`) : new URL(input, "http://localhost/");
  return new Request(url, init);
}

/** A request of the platform as one of ours. Its body is read up to `maxBytes` and a little. */
export async function fromStandard(
  request: Request,
  wantsBody: (method: string, target: string) => boolean,
  maxBytes: number,
): Promise<RawRequest> {
  request.signal?.throwIfAborted();
  const { pathname, search } = new URL(request.url);
  const { method } = request;
  const target = pathname + search;
  const contentType = request.headers.get("content-type") ?? undefined;
  checkHead(method, target, contentType);
  const body = wantsBody(method, target) ? await read(request, maxBytes) : NONE;
  request.signal?.throwIfAborted();
  return { method, target, contentType, body };
}

async function read(request: Request, maxBytes: number): Promise<Uint8Array> {
  const { signal } = request;
  const stream = request.body as Request["body"] | undefined;
  // Not every browser has this member.
  if (stream === undefined) return new Uint8Array(await request.arrayBuffer());
  if (stream === null) return NONE;
  const reader = stream.getReader();
  // Nobody waits for that: a source may take its time, or fail once more.
  const cancel = (reason?: unknown) => void reader.cancel(reason).catch(() => undefined);
  // What is being waited for then is over at once.
  const abort = () => cancel(signal.reason);
  signal?.addEventListener("abort", abort);
  try {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return joined(chunks, length);
      if (!(value instanceof Uint8Array)) {
        const error = invalidArgument("a body's stream must give Uint8Arrays");
        cancel(error);
        throw error;
      }
      length += value.byteLength;
      if (length > maxBytes) {
        cancel();
        return new Uint8Array(maxBytes + 1);
      }
      chunks.push(value);
    }
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.byteLength;
  }
  return body;
}

/** An answer as the platform has them. */
export function toStandard(response: HttpResponse, method: string): Response {
  const headers = new Headers(response.headers.map(([name, value]) => [name, value]));
  const body = method === "HEAD" ? null : response.body;
  return new Response(body, { status: response.status, headers });
}
