//! Times of calls, from batches that are longer than the clock is coarse.

/** Something that makes so many calls and says how long they took, in ms. */
export interface Runner {
  readonly tenants: number;
  run(calls: number): number;
}

export interface Sample {
  /** The time of one call in µs. */
  readonly us: number;
  /** How many tenants there were. */
  readonly tenants: number;
}

/** Browsers round their clocks to 0.1 ms; over 5 ms that is 2 percent. */
const BATCH_MS = 5;

/** The time of one call, from one batch. */
export function measure(runner: Runner): Sample {
  let calls = 64;
  let ms = runner.run(calls);
  while (ms < BATCH_MS && calls < 1 << 20) {
    calls *= 2;
    ms = runner.run(calls);
  }
  return { us: (ms * 1000) / calls, tenants: runner.tenants };
}

/** The middle value; none where there are no values. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}
