import { notify } from "./host";
import { VIOLATION } from "./names";

const addresses = new Set<string>();

/** Whether that it does not load was said already. */
export function blockedBefore(address: string): boolean {
  return addresses.has(address);
}

/** What the policy keeps the app from is said in a console that few open. Once for each thing. */
export function violations(): void {
  const reported = new Set<string>();
  addEventListener("securitypolicyviolation", (event) => {
    const { effectiveDirective: directive, blockedURI: blocked, sourceFile, lineNumber } = event;
    // Code from text has no address but the place where it is made.
    const key = `${directive} ${blocked} ${blocked === "eval" ? `${lineNumber}:${event.columnNumber}` : ""}`;
    if (event.isTrusted && addresses.size < 1000) addresses.add(blocked);
    if (!event.isTrusted || reported.has(key) || reported.size >= 50) return;
    reported.add(key);
    const { sample } = event;
    notify(VIOLATION, { directive, blocked, sample, source: sourceFile, line: lineNumber });
  });
}
