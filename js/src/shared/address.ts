export interface Address {
  host: string;
  /** The host has letters beyond ASCII, which may be made to look like others. */
  disguised: boolean;
}

/** Where a URL really leads, as this browser reads it; null for what is never opened. */
export function addressOf(url: string): Address | null {
  try {
    const { protocol, hostname, host } = new URL(url);
    if (protocol !== "https:" && protocol !== "http:") return null;
    return { host, disguised: /(^|\.)xn--/.test(hostname) };
  } catch {
    return null;
  }
}
