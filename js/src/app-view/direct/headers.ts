/** What 2026-07-28 wants to read in the headers of a request as well as in its body. */

interface Schema {
  properties?: Record<string, Schema>;
  "x-mcp-header"?: string;
}

const NAMED: Record<string, string> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
};

/** As it is where HTTP lets it through, else in the form that says so. */
function plain(value: string): string {
  if (/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !value.startsWith("=?base64?")) {
    return value;
  }
  const bytes = new TextEncoder().encode(value);
  return `=?base64?${btoa(String.fromCharCode(...bytes))}?=`;
}

export function routing(
  method: string,
  params: Record<string, unknown>,
  schema: Schema | undefined,
): Record<string, string> {
  const headers: Record<string, string> = { "mcp-method": method };
  const name = params[NAMED[method] ?? ""];
  if (name !== undefined) headers["mcp-name"] = plain(String(name));
  return { ...headers, ...named(schema, params.arguments) };
}

/** The arguments, at any depth, that the tool's schema wants in a header of their own. */
function named(schema: Schema | undefined, given: unknown): Record<string, string> {
  const headers: Record<string, string> = {};
  const values = (typeof given === "object" && given ? given : {}) as Record<string, unknown>;
  for (const [key, each] of Object.entries(schema?.properties ?? {})) {
    const value = values[key];
    if (value === undefined || value === null) continue;
    const header = each["x-mcp-header"];
    if (header) headers[`mcp-param-${header}`] = plain(String(value));
    Object.assign(headers, named(each, value));
  }
  return headers;
}
