// Bundles each widget into one ESM file and one stylesheet that the Python package ships.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build, context } from "esbuild";
import { minifySync } from "rolldown/experimental";
import { publishedSchema } from "./published-schema.mjs";

const here = dirname(fileURLToPath(import.meta.url));
/** What a front end loads once for every model. */
const widgets = {
  "app-view": "src/app-view",
  "task-table": "src/task-table",
  cards: "src/cards",
};
/** Those that have their stylesheet in common. */
const VIEWS = ["task-table", "cards"];
const bundles = {
  ...widgets,
  // No widgets: the app view loads them when they are wanted.
  inspector: "src/app-view/inspector",
  direct: "src/app-view/direct",
  "old-widgets": "src/app-view/old-widgets",
  consent: "src/app-view/consent",
  // Pages of their own, outside of any notebook.
  preview: "src/preview",
  landing: "src/landing",
};

const { values: args } = parseArgs({
  options: {
    watch: { type: "boolean", default: false },
    outdir: { type: "string", default: resolve(here, "../pmcp_lab/static") },
  },
});
const outdir = resolve(args.outdir);
await mkdir(outdir, { recursive: true });

const schema = {
  name: "published-schema",
  setup({ onLoad }) {
    onLoad({ filter: /ext-apps[\\/].*[\\/]schema\.json$/ }, async () => ({
      contents: await publishedSchema(),
    }));
  },
};

const WIDGET_FILES = Object.keys(widgets).map((name) => `${name}.js`);
const EXPORT = /export\{([\w$]+) as default\};\s*$/;

/**
 * One copy of a widget's code for a page: the second model of a kind finds it there, compiled and warm, and what a
 * module keeps is the page's. Not in parentheses, which would have it compiled in any case.
 */
function oncePerPage(name, code) {
  if (!EXPORT.test(code)) throw new Error(`${name} does not end with its default export`);
  const key = `pmcp_lab.${createHash("sha256").update(code).digest("hex").slice(0, 8)}`;
  return `export default globalThis[Symbol.for("${key}")]??=function(){${code.replace(EXPORT, "return $1")}}();`;
}

/** esbuild's minifier is quick, and this one leaves a fiftieth less after it. */
function smaller(name, code) {
  if (args.watch || !name.endsWith(".js")) return code;
  const { code: found, errors } = minifySync(name, code, {
    module: true,
    mangle: { toplevel: true },
  });
  if (errors.length > 0) throw new Error(errors[0].message);
  return found;
}

const writing = {
  name: "writing",
  setup({ onEnd }) {
    onEnd(async ({ outputFiles }) => {
      for (const { path, text } of outputFiles ?? []) {
        const name = basename(path);
        const code = smaller(name, text);
        const content = WIDGET_FILES.includes(name) ? oncePerPage(name, code) : code;
        await writeFile(path, content);
        if (args.watch) continue;
        const sizes = [Buffer.byteLength(content), gzipSync(content).length];
        const [raw, gzip] = sizes.map((bytes) => `${(bytes / 1024).toFixed(1)} KB`.padStart(9));
        process.stdout.write(`${relative(outdir, path).padEnd(16)}${raw}${gzip} gzip\n`);
      }
    });
  },
};

/** @type {import("esbuild").BuildOptions} */
const shared = {
  absWorkingDir: here,
  outdir,
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
};

/** @type {import("esbuild").BuildOptions[]} */
const kinds = [
  {
    ...shared,
    format: "esm",
    entryPoints: [
      ...Object.entries(bundles).flatMap(([name, folder]) => [
        { in: `${folder}/index.ts`, out: name },
        ...(!VIEWS.includes(name) && existsSync(resolve(here, folder, "style.css"))
          ? [{ in: `${folder}/style.css`, out: name }]
          : []),
      ]),
      { in: "src/views.css", out: "views" },
    ],
    plugins: [schema, writing],
  },
  // Goes into documents, where a module would come too late for the scripts after it.
  {
    ...shared,
    format: "iife",
    entryPoints: [
      { in: "src/bridge/index.ts", out: "bridge" },
      { in: "src/prelude/index.ts", out: "prelude" },
    ],
    plugins: [writing],
  },
];

if (args.watch) {
  for (const kind of kinds) await (await context(kind)).watch();
  process.stdout.write(`watching, writing to ${outdir}\n`);
} else {
  await Promise.all(kinds.map((kind) => build(kind)));
}
