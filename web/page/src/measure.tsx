import { useComputed, useSignal, useSignalEffect } from "@preact/signals";

import { Chart } from "./chart";
import { text } from "./editing";
import { measure, median, type Sample } from "./sampling";
import { memoryBytes, Probe } from "./service";
import { log, tenants } from "./state";

/** Samples that the chart shows. */
const SAMPLES = 60;
/** Samples of one press of the button. */
const BURST = 20;

/** What a call costs here, measured when asked. */
export function Measure() {
  const samples = useSignal<readonly Sample[]>([]);
  const live = useSignal(false);
  const left = useSignal(0);
  const problem = useSignal("");
  const running = useComputed(() => live.value || left.value > 0);
  const bytes = useSignal(memoryBytes());
  // Whatever the page did may have grown the memory.
  const count = log.value.length + tenants.value.length;
  useSignalEffect(() => {
    void [count, samples.value, log.value, tenants.value];
    bytes.value = memoryBytes();
  });

  useSignalEffect(() => {
    if (!running.value) return;
    const used = text.value;
    let probe: Probe | undefined;
    const step = () => {
      // The timer may have fired once more before it was stopped.
      if (!running.peek()) return;
      try {
        probe ??= Probe.start(used);
        const sample = measure(probe);
        samples.value = [...samples.peek(), sample].slice(-SAMPLES);
        left.value = Math.max(0, left.peek() - 1);
      } catch (error) {
        problem.value = `The measurement failed: ${String(error)}`;
        live.value = false;
        left.value = 0;
      }
    };
    const timer = setInterval(step, live.value ? 250 : 0);
    return () => {
      clearInterval(timer);
      probe?.free();
    };
  });

  const found = samples.value.map(({ us }) => us);
  const middle = median(found);
  return (
    <div class="panel measure" role="group" aria-labelledby="measure-title">
      <div class="bar">
        <h3 id="measure-title">What it costs</h3>
        <div class="row end">
          <button
            type="button"
            disabled={running.value}
            onClick={() => {
              left.value = BURST;
            }}
          >
            Measure
          </button>
          <button
            type="button"
            class="quiet"
            aria-pressed={live.value}
            onClick={() => {
              live.value = !live.value;
            }}
          >
            Live
          </button>
        </div>
      </div>
      <dl class="figures">
        <div>
          <dt>Median time of a chat</dt>
          <dd>{middle === undefined ? "not measured yet" : `${middle.toFixed(1)} µs`}</dd>
        </div>
        <div>
          <dt>Tenants</dt>
          <dd>{tenants.value.length.toLocaleString("en")}</dd>
        </div>
        <div>
          <dt>WebAssembly memory</dt>
          <dd>{(bytes.value / (1 << 20)).toFixed(1)} MiB</dd>
        </div>
      </dl>
      <Chart samples={samples.value} median={middle} />
      <p class="quieter">
        Chats through the whole HTTP contract, JSON in and out, in batches of at least 5 ms after a
        warm-up, in this page. They run on a copy without limits, so they are not on the wire and
        use nobody’s chats up. The memory holds the copy too and never shrinks, as WebAssembly’s
        does not.
      </p>
      <div role="alert">{problem.value && <p class="notice bad">{problem.value}</p>}</div>
    </div>
  );
}
