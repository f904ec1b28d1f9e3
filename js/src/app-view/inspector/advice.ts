/** What a refusal of the browser means, and which word of the app's author or user would prevent it. */
import type { Resource } from "../frame";

export interface Blocked {
  directive: string;
  blocked: string;
  source?: string;
  line?: number;
}

const KEYS: Record<string, string> = {
  "connect-src": "connectDomains",
  "script-src": "resourceDomains",
  "style-src": "resourceDomains",
  "img-src": "resourceDomains",
  "font-src": "resourceDomains",
  "media-src": "resourceDomains",
  "frame-src": "frameDomains",
};

const NEVER: Record<string, string> = {
  "object-src": "No app may embed plug-ins.",
  "base-uri": "No app may change the base of its addresses.",
  "form-action": "No app may send forms: call a tool instead.",
  "worker-src": "Workers may only come from blob: and data: addresses.",
};

export function advice({ directive, blocked }: Blocked, resource: Resource | null): string {
  // `script-src-elem` and the like.
  const group = directive.replace(/-(elem|attr)$/, "");
  if (blocked === "eval" || blocked === "wasm-eval") {
    return "Allowed by: server.allow_apps(unsafe_eval=True). Libraries try it at the start and do without.";
  }
  const never = NEVER[group];
  if (never) return never;
  const origin = URL.canParse(blocked) ? new URL(blocked).origin : "null";
  const key = KEYS[group];
  if (!key || origin === "null") return "Nothing that an app may ask for allows this.";
  const wanted = Object.values(resource?.wanted ?? {}).flat();
  if (resource?.wanted?.refused?.some((each) => each.startsWith(origin))) {
    return `The app declares ${origin}, but no app may reach this machine or a malformed domain.`;
  }
  if (wanted.includes(origin)) {
    return `The app declares ${origin} and nobody allowed it yet: press Allow, or server.allow_apps(domains=["${origin}"])`;
  }
  return `Allowed by: _meta.ui.csp.${key} = ["${origin}"] on the resource (and the person's consent)`;
}
