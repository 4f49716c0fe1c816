// Microseconds a chat, the package and the same by hand in turns: in Node and in a page.

import { byHand } from "./by-hand.mjs";

const ROUNDS = 15;
const CALLS = 20_000;

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Medians over rounds, in which each variant has its turn. */
export function chatMicroseconds(Tenantry, tenants) {
  const variants = {
    package: Tenantry.fromJsonl(tenants, { limits: false }),
    "by hand": byHand(tenants, { limits: false }),
  };
  const turns = Object.entries(variants).map(([name, service]) => {
    const { sessionId } = service.createSession("acme");
    const request = { tenantId: "acme", sessionId, message: "hello from acme" };
    const run = () => {
      const start = performance.now();
      for (let call = 0; call < CALLS; call++) service.chat(request);
      return ((performance.now() - start) * 1000) / CALLS;
    };
    run();
    return { name, run, rounds: [] };
  });
  for (let round = 0; round < ROUNDS; round++) for (const turn of turns) turn.rounds.push(turn.run());
  const [ours, theirs] = turns.map(({ rounds }) => rounds);
  return {
    ...Object.fromEntries(turns.map(({ name, rounds }) => [name, median(rounds)])),
    ratio: median(ours.map((time, round) => time / theirs[round])),
  };
}
