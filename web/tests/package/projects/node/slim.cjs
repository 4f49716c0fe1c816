const { readFileSync } = require("node:fs");

const tenantry = require("tenantry/slim");

const { story } = require("./story.mjs");

tenantry.initSync(readFileSync(require.resolve("tenantry/tenantry.wasm")));
story(tenantry).then((told) => console.log(JSON.stringify(told)));
