//! A call as a command for a POSIX shell.

import { type Call } from "./exchange";

/** Where commands go when the call was answered in this page. */
export const LOCAL = "http://127.0.0.1:8001/";

/** A kernel takes arguments of up to 128 KiB; longer bodies go through a pipe. */
const LONGEST_ARGUMENT = 100_000;

/** The command that makes the same call to the server at `base`, which ends in a slash. */
export function curl(call: Call, base: string = LOCAL): string {
  const parts = ["curl -i"];
  if (call.method !== (call.body === undefined ? "GET" : "POST")) parts.push(`-X ${call.method}`);
  parts.push(quoted(base + call.path.replace(/^\//, "")));
  for (const [name, value] of call.headers) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  const { body } = call;
  if (body === undefined) return parts.join(" ");
  if (typeof body === "string" && !body.includes("\0")) {
    if (body.length <= LONGEST_ARGUMENT) return [...parts, `--data-raw ${quoted(body)}`].join(" ");
    return `printf %s ${quoted(body)} | ${parts.join(" ")} --data-binary @-`;
  }
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return `printf ${quoted(format(bytes))} | ${parts.join(" ")} --data-binary @-`;
}

/** A word that the shell takes as it is. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Bytes as a format for `printf`, in ASCII. */
function format(bytes: Uint8Array): string {
  const part = (byte: number) => {
    const character = String.fromCharCode(byte);
    if (byte < 0x20 || byte > 0x7e) return `\\${byte.toString(8).padStart(3, "0")}`;
    if (character === "%") return "%%";
    return character === "\\" ? "\\\\" : character;
  };
  return Array.from(bytes, part).join("");
}
