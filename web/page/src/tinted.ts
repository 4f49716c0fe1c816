import { properties } from "./colour";

/** Gives an element a tenant's colours, through the object model: the policy allows no style attribute. */
export function tinted(hue: number): (element: HTMLElement | null) => void {
  return (element) => {
    for (const [name, value] of Object.entries(properties(hue))) {
      element?.style.setProperty(name, value);
    }
  };
}
