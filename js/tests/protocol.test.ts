/// <reference types="vite/client" />
import { expect, it, vi } from "vitest";
import schema from "../node_modules/@modelcontextprotocol/ext-apps/dist/src/generated/schema.json";
import specTypes from "../node_modules/@modelcontextprotocol/ext-apps/dist/src/spec.types.d.ts?raw";
import unionTypes from "../node_modules/@modelcontextprotocol/ext-apps/dist/src/types.d.ts?raw";
import page from "../src/app-view/PROTOCOL.md?raw";

const FILES = import.meta.glob<string>(["../src/app-view/**/*.ts", "../../pmcp_lab/**/*.py"], {
  query: "?raw",
  import: "default",
  eager: true,
});

/** A file that the page names. */
function read(name: string): string {
  const text = FILES[name.replace(/^(\.\.\/){3}/, "../../")] ?? FILES[`../src/app-view/${name}`];
  if (text === undefined) throw new Error(`there is no ${name}`);
  return text;
}

interface Shape {
  properties?: Record<string, Shape>;
  anyOf?: { const: string }[];
  const?: string;
}

const $defs = schema.$defs as unknown as Record<string, Shape>;

/** Tables of the page, by the first cell of each row. */
const [OWN, OTHERS] = page.split("\n## ").map((part) => {
  const lines = part.split("\n").filter((line) => line.startsWith("| `"));
  const rows = lines.map((line) => line.slice(2, -2).split(" | ") as [string, ...string[]]);
  expect(new Set(rows.map(([name]) => name)).size).toBe(rows.length);
  return new Map(rows.map(([name, ...cells]) => [name.replaceAll("`", ""), cells]));
}) as [Map<string, string[]>, Map<string, string[]>];

const quoted = (text = "") => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string);

/** The files that a row names, and what it says that they do not deal with. */
function where(cell = "") {
  const [dealt = "", ...left] = cell.split(/\bnot (?=`|,)/);
  const files = quoted(dealt).filter((word) => /\.(ts|py)$/.test(word));
  return {
    text: files.map((file) => read(file)).join("\n"),
    left: left.flatMap((clause) => quoted(clause.split(":")[0])),
    files,
    why: left.every((clause) => /[:,] ?\S/.test(clause)),
  };
}

const has = (text: string, word: string) =>
  new RegExp(`(?<![\\w-])${word.replace(/[-/]/g, "\\$&")}(?![\\w-])`).test(text);
/** The proxy's methods are put together where they are said. */
const named = (text: string, method: string) =>
  has(text, method) ||
  (method.includes("sandbox-") && has(text, method.split("sandbox-")[1] ?? ""));

function fields({ properties = {}, anyOf }: Shape): string[] {
  if (anyOf) return anyOf.map((each) => each.const);
  return Object.keys((properties.params ? properties.params.properties : properties) ?? {});
}

it("has a row for every type of the package", () => {
  const declared = [...specTypes.matchAll(/^export (?:type|interface) (\w+)/gm)];
  const names = new Set([...Object.keys($defs), ...declared.map(([, name]) => name as string)]);
  expect([...OWN.keys()]).toEqual([...names].sort());
});

it("has a row for whatever of MCP the package lets through", () => {
  const unions = unionTypes.matchAll(/^export type App\w+ = ([^;]+);/gm);
  const names = [...unions].flatMap(([, union]) => (union as string).split(" | "));
  expect(names.length).toBeGreaterThan(30);
  const others = new Set(names.filter((name) => !name.startsWith("McpUi")));
  expect([...OTHERS.keys()]).toEqual([...others].sort());
});

it.each([...OWN.keys()])(
  "%s: names its method and its fields, each dealt with or not",
  async (name) => {
    const [method, shown, place] = OWN.get(name) as string[];
    const shape = $defs[name] ?? {};
    expect(quoted(method)).toEqual([shape.properties?.method?.const].filter(Boolean));
    const { text, left, files, why } = where(place);
    expect(why).toBe(true);
    if (name === "McpUiStyleVariableKey") {
      vi.stubGlobal("matchMedia", () => ({ matches: true }));
      vi.stubGlobal("HTMLElement", Object);
      const { styleVariables } = await import("../src/app-view/host-context");
      expect(Object.keys(styleVariables("light", () => "")).sort()).toEqual(fields(shape).sort());
      return;
    }
    expect(quoted(shown)).toEqual(fields(shape));
    for (const each of quoted(method)) expect(named(text, each), each).toBe(true);
    for (const each of fields(shape))
      expect(left.includes(each) || has(text, each), each).toBe(true);
    expect(fields(shape)).toEqual(expect.arrayContaining(left));
    expect(files.length + left.length).toBeGreaterThan(0);
  },
);

it.each([...OTHERS.keys()])("%s: stands where the row says", (name) => {
  const [method, place] = OTHERS.get(name) as string[];
  const { text, files, why } = where(place);
  if (files.length === 0) expect(place).toMatch(/^not, because /);
  else for (const each of quoted(method)) expect(named(text, each), each).toBe(true);
  expect(why).toBe(true);
});
