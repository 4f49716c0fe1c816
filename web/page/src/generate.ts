//! Tenants by the thousand, always the same ones.

const FIRST = [
  "Aurora",
  "Beacon",
  "Cedar",
  "Delta",
  "Ember",
  "Fjord",
  "Garnet",
  "Harbor",
  "Indigo",
  "Juniper",
  "Kestrel",
  "Lumen",
  "Maple",
  "Nimbus",
  "Orchid",
  "Pioneer",
  "Quartz",
  "River",
  "Summit",
  "Tundra",
] as const;
const SECOND = [
  "Bakery",
  "Clinic",
  "Dynamics",
  "Energy",
  "Foods",
  "Gardens",
  "Holdings",
  "Instruments",
  "Journeys",
  "Kitchens",
  "Logistics",
  "Motors",
  "Networks",
  "Optics",
  "Press",
  "Records",
  "Studios",
  "Textiles",
  "Union",
  "Works",
] as const;
const WELCOMES = [
  "Good day from",
  "Welcome to",
  "You have reached",
  "Greetings from",
  "Hello from",
] as const;
const STYLES = ["reverse", "upper", "ack"] as const;

/** The members of a row, as the file names them. */
export interface Row {
  readonly id: string;
  readonly name: string;
  readonly welcome: string;
  readonly model?: string;
  readonly limits?: { readonly chat_per_10s: number };
  readonly reply?: { readonly style: string; readonly tag: string };
}

/** The `number`th generated tenant, from 0. */
export function generated(number: number): Row {
  const first = FIRST[number % FIRST.length] ?? "";
  const second = SECOND[Math.floor(number / FIRST.length) % SECOND.length] ?? "";
  const label = String(number + 1).padStart(5, "0");
  const name = `${first} ${second} ${Number(label)}`;
  return {
    id: `${first}-${second}-${label}`.toLowerCase(),
    name,
    welcome: `${WELCOMES[number % WELCOMES.length] ?? ""} ${name}.`,
    model: `mock-${(number % 3) + 1}`,
    limits: { chat_per_10s: 3 + (number % 10) },
    reply: { style: STYLES[number % STYLES.length] ?? "", tag: first.toUpperCase() },
  };
}

/** The text with rows behind it until there are `total` tenants; it has `has` of them. */
export function filled(text: string, has: number, total: number): string {
  const rows: string[] = [];
  const taken = new Set(text.match(/"[a-z]+-[a-z]+-\d{5}"/g));
  for (let number = 0; has + rows.length < total; number++) {
    const row = generated(number);
    if (!taken.has(`"${row.id}"`)) rows.push(JSON.stringify(row));
  }
  return appended(text, rows);
}

/** The text with lines behind it; the last line always ends. */
export function appended(text: string, lines: readonly string[]): string {
  const start = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  return start + lines.map((line) => `${line}\n`).join("");
}
