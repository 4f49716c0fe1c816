import { type Signal, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { count, lineStart } from "./lines";
import type { TenantsProblem } from "./service";

/** The height of a line in CSS pixels; `editor.css` has the same. */
const LINE = 20;
/** Lines that are drawn above and below what is seen. */
const MARGIN = 10;

let area: HTMLTextAreaElement | null = null;

/** Puts the cursor into a line of the editor, counted from 1. */
export function goTo(line: number): void {
  if (!area) return;
  const { start, end } = lineStart(area.value, line);
  area.focus();
  area.setSelectionRange(start, end);
  area.scrollTop = Math.max(0, (line - 1) * LINE - area.clientHeight / 2);
  area.scrollLeft = 0;
}

interface EditorProps {
  readonly value: Signal<string>;
  readonly problems: readonly TenantsProblem[];
  readonly label: string;
  readonly describedBy?: string;
  readonly readOnly?: boolean;
}

/** A textarea with line numbers and marks. Only lines that are seen are drawn, so length costs nothing. */
export function Editor({ value, problems, label, describedBy, readOnly = false }: EditorProps) {
  const input = useRef<HTMLTextAreaElement>(null);
  const marks = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(400);

  useSignalEffect(() => {
    const next = value.value;
    // Setting an equal text would lose the cursor and the undo history.
    if (input.current && input.current.value !== next) input.current.value = next;
  });
  useEffect(() => {
    const box = input.current;
    if (!box) return;
    area = box;
    const observer = new ResizeObserver(() => {
      height.value = box.clientHeight;
    });
    observer.observe(box);
    return () => {
      observer.disconnect();
      if (area === box) area = null;
    };
  }, []);

  const lines = count(value.value);
  const first = Math.max(0, Math.floor(top.value / LINE) - MARGIN);
  const last = Math.min(lines, Math.ceil((top.value + height.value) / LINE) + MARGIN);
  const wrong = new Set(problems.map(({ line }) => line));
  useEffect(() => {
    const lane = marks.current;
    if (!lane) return;
    lane.style.transform = `translateY(${first * LINE - top.value}px)`;
    lane.parentElement?.style.setProperty("--digits", String(Math.max(3, String(lines).length)));
  });
  const drawn: number[] = [];
  for (let line = first + 1; line <= last; line++) drawn.push(line);

  return (
    <div class={readOnly ? "editor readonly" : "editor"}>
      <div class="lane" aria-hidden="true">
        <div ref={marks}>
          {drawn.map((line) => (
            <div key={line} class={wrong.has(line) ? "number wrong" : "number"}>
              {line}
            </div>
          ))}
        </div>
      </div>
      <textarea
        ref={input}
        aria-label={label}
        aria-describedby={describedBy}
        aria-invalid={problems.length > 0}
        readOnly={readOnly}
        wrap="off"
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        onInput={(event) => {
          value.value = event.currentTarget.value;
        }}
        onScroll={(event) => {
          top.value = event.currentTarget.scrollTop;
        }}
      />
    </div>
  );
}
