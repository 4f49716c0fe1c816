import type { Sample } from "./sampling";

const WIDTH = 600;
const HEIGHT = 120;
/** Samples that fill the width, at least. */
const ACROSS = 20;

/** Times as a line, with the median, and a mark wherever the number of tenants changed. */
export function Chart({
  samples,
  median,
}: {
  samples: readonly Sample[];
  median: number | undefined;
}) {
  if (median === undefined) {
    return <p class="empty chart-empty">Press Measure, or Live and then make it 10,000.</p>;
  }
  const values = samples.map(({ us }) => us);
  // One slow batch (another tab, a battery) must not flatten the rest.
  const top = Math.min(Math.max(...values), median * 3) * 1.15;
  const across = Math.max(ACROSS, samples.length);
  const x = (index: number) => ((index + across - samples.length) / (across - 1)) * WIDTH;
  const y = (us: number) => HEIGHT - (Math.min(us, top) / top) * HEIGHT;
  const line = values.map((us, index) => `${x(index).toFixed(1)},${y(us).toFixed(1)}`).join(" ");
  const changes = samples
    .map(({ tenants }, index) => ({ tenants, index }))
    .filter(({ tenants, index }) => index > 0 && samples[index - 1]?.tenants !== tenants);
  const last = samples.at(-1);
  const range = `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)} µs`;
  const name = `Time of a chat over ${samples.length} samples: median ${median.toFixed(1)} µs, from ${range}, with ${(last?.tenants ?? 0).toLocaleString("en")} tenants at the end`;
  return (
    <figure class="chart">
      <svg
        role="img"
        aria-label={name}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
      >
        <line class="base" x1="0" x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
        <line class="middle" x1="0" x2={WIDTH} y1={y(median)} y2={y(median)} />
        {changes.map(({ index }) => (
          <line key={index} class="change" x1={x(index)} x2={x(index)} y1="0" y2={HEIGHT} />
        ))}
        <polyline class="times" points={line} />
      </svg>
      <figcaption class="quieter">
        0 to {top.toFixed(1)} µs · dashed: median · {range}
        {changes.map(({ tenants, index }) => (
          <span key={index}> · then {tenants.toLocaleString("en")} tenants</span>
        ))}
      </figcaption>
    </figure>
  );
}
