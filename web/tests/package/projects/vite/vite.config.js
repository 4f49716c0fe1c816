import { defineConfig } from "vite";

const { PAGE } = process.env;

// Each page is built alone, to see what belongs to it. The dev server has all of them.
export default defineConfig({
  build: PAGE ? { rollupOptions: { input: `${PAGE}.html` } } : {},
});
