/** A message as the cell that a person would write for it. */

const NAME = /^[\p{L}_][\p{L}\p{N}_]*$/u;
const KEYWORDS = new Set(
  "False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return self try while with yield".split(
    " ",
  ),
);

/** Parameters of `Server.call`, which an argument of that name would be taken for. */
const TAKEN = new Set(["timeout", "check"]);

/** A JSON value as Python. A JSON string is a Python string too, so nothing in it can end it. */
export function python(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "None";
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  const items = Object.entries(value as object).map(
    ([name, each]) => `${JSON.stringify(name)}: ${python(each)}`,
  );
  return `{${items.join(", ")}}`;
}

function named(given: unknown): string {
  const items = Object.entries((given ?? {}) as Record<string, unknown>);
  const plain = items.every(([name]) => NAME.test(name) && !KEYWORDS.has(name) && !TAKEN.has(name));
  if (plain) return items.map(([name, value]) => `, ${name}=${python(value)}`).join("");
  return `, ${python(given)}`;
}

/** The Python code that does the same; null for what Python cannot ask of a server. */
export function cell(server: string, method: string, params: unknown, tool = ""): string | null {
  const given = (params ?? {}) as Record<string, unknown>;
  const from = `lab.connected(${python(server)})`;
  const start = "import pmcp_lab as lab\n\n";
  if (method === "tools/call") {
    return `${start}${from}.call(${python(given.name)}${named(given.arguments)})`;
  }
  if (method === "resources/read") return `${start}${from}.read(${python(given.uri)})`;
  if (method === "ui/notifications/tool-input" && tool) {
    return `${start}${from}.app(${python(tool)}${named(given.arguments)})`;
  }
  return null;
}
