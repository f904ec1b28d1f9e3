/** What an app or its server wants of the person, and how it is had. */
import type { Chrome } from "../chrome";
import type { Resource } from "../frame";

const PERMISSION_NAMES: Record<string, string> = {
  camera: "the camera",
  microphone: "the microphone",
  geolocation: "your position",
  clipboardWrite: "the clipboard (to write)",
};

/** An app is opened without what it asks for; whoever allows it gets it opened anew. */
export function showWanted(
  chrome: Chrome,
  { connect, load, embed, permissions, refused }: NonNullable<Resource["wanted"]>,
  allow: () => void,
): void {
  const wishes = [
    connect && `send data to ${connect.join(", ")}`,
    load && `load from ${load.join(", ")}`,
    embed && `embed pages of ${embed.join(", ")}`,
    permissions && `use: ${permissions.map((name) => PERMISSION_NAMES[name] ?? name).join(", ")}`,
  ].filter((wish) => wish !== undefined);
  const close = () => chrome.hideBar("wanted");
  close();
  if (wishes.length > 0) {
    chrome.showBar("wanted", "warning", "The app runs without something it asks for:", {
      detail: wishes.join("; "),
      guarded: true,
      actions: [
        { label: "Allow", run: allow, main: true },
        { label: "Keep it out", run: close },
      ],
    });
  } else if (refused?.length) {
    chrome.showBar("wanted", "info", "The app declares domains that no app may reach:", {
      detail: refused.join(", "),
      closable: true,
    });
  }
}

/** Code from text is the one thing that no click allows and that an app may be nothing without. */
export function showEval(chrome: Chrome, server: string): void {
  chrome.showBar(
    "eval",
    "warning",
    "The app makes code from text ('unsafe-eval'), which no app may do unasked. To allow it:",
    {
      detail: `lab.connected(${JSON.stringify(server)}).allow_apps(unsafe_eval=True)`,
      closable: true,
    },
  );
}

/** The server asks something, and there is no way to show the form. */
export function showAsked(chrome: Chrome): void {
  chrome.showBar("asked", "info", "The server asks something. To answer:", {
    detail: "view.asking[0].answer({…})",
    closable: true,
  });
}
