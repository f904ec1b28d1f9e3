// Bundles each widget into one ESM file and one stylesheet that the Python package ships.
import { mkdir } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build, context } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const widgets = ["app-view", "task-table", "task-card", "tool-form", "catalogue"];

const { values: args } = parseArgs({
  options: {
    watch: { type: "boolean", default: false },
    outdir: { type: "string", default: resolve(here, "../pmcp_lab/static") },
  },
});
const outdir = resolve(args.outdir);
await mkdir(outdir, { recursive: true });

/** @type {import("esbuild").BuildOptions} */
const options = {
  absWorkingDir: here,
  entryPoints: widgets.flatMap((name) => [
    { in: `src/${name}/index.ts`, out: name },
    { in: `src/${name}/style.css`, out: name },
  ]),
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: true,
  logLevel: "warning",
};

if (args.watch) {
  const watcher = await context(options);
  await watcher.watch();
  process.stdout.write(`watching, writing to ${outdir}\n`);
} else {
  const built = await build({ ...options, write: false });
  const { writeFile } = await import("node:fs/promises");
  for (const file of built.outputFiles) {
    await writeFile(file.path, file.contents);
    const sizes = [file.contents.length, gzipSync(file.contents).length];
    const [raw, gzip] = sizes.map((bytes) => `${(bytes / 1024).toFixed(1)} KB`.padStart(9));
    process.stdout.write(`${relative(outdir, file.path).padEnd(16)}${raw}${gzip} gzip\n`);
  }
}
