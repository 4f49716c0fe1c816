import assert from "node:assert/strict";
import test from "node:test";

import { ACCENT, hues, place, TINT } from "../src/colour";
import base from "../style/base.css";

type Colour = readonly [lightness: number, chroma: number, hue: number];

/** The WCAG luminance of an OKLCH colour; a colour that no screen has is clipped as browsers do. */
function luminance([lightness, chroma, hue]: Colour): number {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const red = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
  const green = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
  const blue = -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s;
  const clip = (value: number) => Math.min(1, Math.max(0, value));
  return 0.2126 * clip(red) + 0.7152 * clip(green) + 0.0722 * clip(blue);
}

function contrast(one: Colour, other: Colour): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return ((high ?? 0) + 0.05) / ((low ?? 0) + 0.05);
}

/** A colour of the style sheet, in both themes. */
function token(name: string): { light: Colour; dark: Colour } {
  const number = String.raw`([\d.]+)`;
  const colour = String.raw`oklch\(${number} ${number} ${number}\)`;
  const found = new RegExp(String.raw`--${name}: light-dark\(${colour}, ${colour}\)`).exec(base);
  assert.ok(found, `--${name} is in base.css`);
  const [l1, c1, h1, l2, c2, h2] = found.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { light: [l1, c1, h1], dark: [l2, c2, h2] };
}

const every = Array.from({ length: 360 }, (_, hue) => hue);

test("known contrasts come out as they are", () => {
  assert.ok(Math.abs(contrast([1, 0, 0], [0, 0, 0]) - 21) < 0.01);
  // #767676 on white, the classic 4.54.
  assert.ok(Math.abs(contrast([0.5651, 0, 0], [1, 0, 0]) - 4.54) < 0.05);
});

test("a tenant's colour can be read on every surface, in every hue and both themes", () => {
  for (const theme of ["light", "dark"] as const) {
    const surfaces = ["ground", "surface", "sunken"].map((name) => token(name)[theme]);
    for (const hue of every) {
      const accent: Colour = [...ACCENT[theme], hue];
      const tint: Colour = [...TINT[theme], hue];
      for (const surface of [...surfaces, tint]) {
        const found = contrast(accent, surface);
        assert.ok(found >= 4.5, `${theme} ${hue}: ${found.toFixed(2)} on ${surface.join(" ")}`);
      }
      assert.ok(contrast(token("ink")[theme], tint) >= 7, `ink on the tint ${theme} ${hue}`);
      const onAccent: Colour = theme === "light" ? [1, 0, 0] : [0.19, 0.02, 262];
      assert.ok(contrast(onAccent, accent) >= 4.5, `text on the fill ${theme} ${hue}`);
    }
  }
});

test("the page's own colours can be read", () => {
  for (const theme of ["light", "dark"] as const) {
    for (const surface of ["ground", "surface", "sunken"]) {
      for (const text of ["ink", "soft", "brand", "bad", "good", "warn"]) {
        const found = contrast(token(text)[theme], token(surface)[theme]);
        assert.ok(found >= 4.5, `${text} on ${surface}, ${theme}: ${found.toFixed(2)}`);
      }
      assert.ok(
        contrast(token("edge")[theme], token(surface)[theme]) >= 3,
        `edge on ${surface}, ${theme}`,
      );
    }
    for (const kind of ["bad", "good", "warn"]) {
      assert.ok(
        contrast(token(kind)[theme], token(`${kind}-tint`)[theme]) >= 4.5,
        `${kind} ${theme}`,
      );
    }
  }
});

test("tenants that stand together differ, and the first of them keep their colours", () => {
  const ids = Array.from({ length: 12 }, (_, number) => `tenant-${number}`);
  const all = hues(ids);
  assert.equal(new Set(all.values()).size, 12);
  const few = [...hues(ids.slice(0, 4)).values()].sort((a, b) => a - b);
  few.forEach((hue, index) => {
    const next = few[(index + 1) % few.length] ?? 0;
    assert.ok((next - hue + 360) % 360 >= 60, `${few.join(", ")} are apart`);
  });
  for (const [id, hue] of hues(ids.slice(0, 5))) assert.equal(all.get(id), hue);
});

test("an id asks for the same place always, and more ids than places are fine", () => {
  assert.equal(place("acme"), place("acme"));
  const many = hues(Array.from({ length: 40 }, (_, number) => `t${number}`));
  assert.equal(many.size, 40);
});
