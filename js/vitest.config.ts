import { defineConfig } from "vitest/config";
import { publishedSchema } from "./published-schema.mjs";

const SCHEMA = "@modelcontextprotocol/ext-apps/schema.json";

export default defineConfig({
  // As in a bundle.
  plugins: [
    {
      name: "published-schema",
      enforce: "pre",
      resolveId: (id) => (id === SCHEMA ? "\0published-schema" : null),
      load: (id) => (id === "\0published-schema" ? publishedSchema() : null),
    },
  ],
  test: { include: ["tests/**/*.test.ts"], environment: "node", maxWorkers: 1 },
});
