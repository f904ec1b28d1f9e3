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
/**
 * Widgets that are made of the same parts: what both need is `views.js`, which goes before each of them, and their
 * stylesheet is `views.css`. So a page, a kernel and the package hold it once.
 */
const views = {
  "task-table": "src/task-table",
  cards: "src/cards",
};
const bundles = {
  "app-view": "src/app-view",
  // No widgets: the app view loads them when they are wanted.
  inspector: "src/app-view/inspector",
  direct: "src/app-view/direct",
  "old-widgets": "src/app-view/old-widgets",
  consent: "src/app-view/consent",
  // Pages of their own, outside of any notebook.
  preview: "src/preview",
  opening: "src/opening",
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

const PARTS = "views.js";
const WIDGET_FILES = ["app-view", ...Object.keys(views)].map((name) => `${name}.js`);
const EXPORTS = /export\{([^{}]+)\};\s*$/;
const IMPORTS = /^import\{([^{}]+)\}from"\.\/views\.js";/;

/**
 * One copy of a widget's code for a page: the second model of a kind finds it there, compiled and warm, and what a
 * module keeps is the page's. Not in parentheses, which would have it compiled in any case.
 * @param parts Where the page has what its import names.
 */
function oncePerPage(name, code, parts) {
  const [, exported] = EXPORTS.exec(code) ?? [];
  const [, imported] = IMPORTS.exec(code) ?? [];
  if (!exported || Boolean(imported) !== Boolean(parts)) {
    throw new Error(`${name} has not the one import and the one export that are expected`);
  }
  const given = imported ? `{${imported.replace(/([\w$]+) as ([\w$]+)/g, "$1:$2")}}` : "";
  const names = exported.replace(/([\w$]+) as ([\w$]+)/g, "$2:$1");
  const body = code.replace(IMPORTS, "").replace(EXPORTS, () => `return{${names}}`);
  const own = `function(${given}){${body}}(${parts ?? ""})`;
  const place = `globalThis[Symbol.for("pmcp_lab.${createHash("sha256").update(own).digest("hex").slice(0, 8)}")]`;
  return { place, text: `${place}??=${own}` };
}

/** What is written, by file: a widget's own code for a page that has its parts. */
function asWritten(codes) {
  const parts = codes.has(PARTS) ? oncePerPage(PARTS, codes.get(PARTS)) : undefined;
  const written = new Map(codes);
  if (parts) written.set(PARTS, `${parts.text};`);
  for (const name of WIDGET_FILES.filter((each) => codes.has(each))) {
    const code = codes.get(name);
    const { text } = oncePerPage(name, code, IMPORTS.test(code) ? parts.place : undefined);
    written.set(name, `export default ${text}.default;`);
  }
  return written;
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
      const files = outputFiles ?? [];
      const codes = files.map(({ path, text }) => [basename(path), smaller(basename(path), text)]);
      for (const [name, content] of asWritten(new Map(codes))) {
        const path = resolve(outdir, name);
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
        ...(existsSync(resolve(here, folder, "style.css"))
          ? [{ in: `${folder}/style.css`, out: name }]
          : []),
      ]),
      { in: "src/views.css", out: "views" },
    ],
    plugins: [schema, writing],
  },
  {
    ...shared,
    format: "esm",
    // The watcher writes whole widgets: anywidget looks at one file for each.
    splitting: !args.watch,
    chunkNames: basename(PARTS, ".js"),
    entryPoints: Object.entries(views).map(([out, folder]) => ({ in: `${folder}/index.ts`, out })),
    plugins: [writing],
  },
  // Goes into documents, where a module would come too late for the scripts after it.
  {
    ...shared,
    format: "iife",
    entryPoints: [
      { in: "src/bridge/index.ts", out: "bridge" },
      { in: "src/prelude/index.ts", out: "prelude" },
      { in: "src/probe/index.ts", out: "probe" },
    ],
    plugins: [writing],
  },
];

if (args.watch) {
  await writeFile(resolve(outdir, PARTS), "");
  for (const kind of kinds) await (await context(kind)).watch();
  process.stdout.write(`watching, writing to ${outdir}\n`);
} else {
  await Promise.all(kinds.map((kind) => build(kind)));
}
