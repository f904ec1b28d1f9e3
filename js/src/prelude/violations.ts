import { notify } from "./host";
import { VIOLATION } from "./names";

/** What the policy keeps the app from is said in a console that few open. Once for each thing. */
export function violations(): void {
  const reported = new Set<string>();
  addEventListener("securitypolicyviolation", (event) => {
    const { effectiveDirective: directive, blockedURI: blocked, sourceFile, lineNumber } = event;
    // Code from text has no address but the place where it is made.
    const key = `${directive} ${blocked} ${blocked === "eval" ? `${lineNumber}:${event.columnNumber}` : ""}`;
    if (!event.isTrusted || reported.has(key) || reported.size >= 50) return;
    reported.add(key);
    const { sample } = event;
    notify(VIOLATION, { directive, blocked, sample, source: sourceFile, line: lineNumber });
  });
}
