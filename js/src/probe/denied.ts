import type { Tell } from "./tell";

// biome-ignore lint/suspicious/noExplicitAny: whatever the browser has
type Anything = any;

/** What an app may do once it has declared it, and what it may never do. */
export function denied(tell: Tell): void {
  const { prototype: frame } = Element;
  const instead = (
    kind: string,
    on: Anything,
    name: string,
    said: string,
    answer: () => unknown,
  ) => {
    if (typeof on?.[name] !== "function") return;
    on[name] = () => {
      tell(kind, said);
      return answer();
    };
  };
  const before = (on: Anything, name: string, said: (given: Anything) => string[]) => {
    const was = on?.[name];
    if (typeof was !== "function") return;
    on[name] = function (...given: unknown[]) {
      for (const each of said(given[0])) tell("permission", each);
      return was.apply(this, given);
    };
  };
  instead("dialog", window, "alert", "alert", () => undefined);
  instead("dialog", window, "confirm", "confirm", () => false);
  instead("dialog", window, "prompt", "prompt", () => null);
  instead("dialog", window, "print", "print", () => undefined);
  instead("dialog", window, "open", "open", () => null);
  instead("fullscreen", frame, "requestFullscreen", "requestFullscreen", () =>
    Promise.reject(refusal()),
  );
  const uses: Record<string, Record<string, (given: Anything) => string[]>> = {
    MediaDevices: {
      getUserMedia: (wanted) => [
        ...(wanted?.video ? ["camera"] : []),
        ...(wanted?.audio ? ["microphone"] : []),
      ],
      getDisplayMedia: () => ["display-capture"],
    },
    Geolocation: {
      getCurrentPosition: () => ["geolocation"],
      watchPosition: () => ["geolocation"],
    },
    Clipboard: {
      write: () => ["clipboardWrite"],
      writeText: () => ["clipboardWrite"],
      read: () => ["clipboardRead"],
      readText: () => ["clipboardRead"],
    },
    IDBFactory: { open: () => ["indexedDB"] },
    Bluetooth: { requestDevice: () => ["bluetooth"] },
    USB: { requestDevice: () => ["usb"] },
    HID: { requestDevice: () => ["hid"] },
    Serial: { requestPort: () => ["serial"] },
  };
  for (const [type, methods] of Object.entries(uses)) {
    const { prototype } = (window as Anything)[type] ?? {};
    for (const [name, said] of Object.entries(methods)) before(prototype, name, said);
  }
  before((window as Anything).Notification, "requestPermission", () => ["notifications"]);
}

function refusal(): DOMException {
  return new DOMException("Fullscreen is the host's.", "NotAllowedError");
}
