/** What the widgets of PMCP's own runtime, and of MCP-UI's adapter, call things. */
const MEANT: Record<string, string> = {
  "ui/openLink": "ui/open-link",
  "ui/link": "ui/open-link",
  "ui/sendMessage": "ui/message",
  "ui/log": "notifications/message",
  "ui/notify": "notifications/message",
};

interface Meant {
  method: string;
  params: unknown;
}

/** The standard's message for one under an old name or of an old shape; null for all others. */
export function standard(method: string, params: unknown): Meant | null {
  const meant = Object.hasOwn(MEANT, method) ? (MEANT[method] as string) : method;
  const given = (params ?? {}) as Record<string, unknown>;
  if (meant === "ui/message" && typeof given.message === "string") {
    const content = [{ type: "text", text: given.message }];
    return { method: meant, params: { role: "user", content } };
  }
  if (meant === method) return null;
  if (meant === "notifications/message") {
    const { level, message, data } = given;
    return { method: meant, params: { level: level ?? "info", data: data ?? message } };
  }
  return { method: meant, params };
}
