import { render } from "preact";

import { App } from "./app";
import { start } from "./place";
import "./theme";

const root = document.getElementById("app");
if (root) {
  root.replaceChildren();
  render(<App />, root);
  void start();
}
