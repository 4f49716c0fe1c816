const tenantry = require("tenantry");

const { story } = require("./story.mjs");

story(tenantry).then((told) => console.log(JSON.stringify(told)));
