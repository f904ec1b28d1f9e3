/** What an app or its server wants of the person, and how it is had. */
import type { Chrome } from "../chrome";
import type { Resource } from "../frame";
import { pose } from "./question";

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
    const text = "The app runs without something it asks for:";
    const question = { tone: "warning", text, detail: wishes.join("; ") } as const;
    const answers = { yes: "Allow", no: "Keep it out" };
    pose(chrome, "wanted", { ...question, ...answers }, (wanted) => (wanted ? allow : close)());
  } else if (refused?.length) {
    chrome.showBar("wanted", "info", "The app declares domains that no app may reach:", {
      detail: refused.join(", "),
      closable: true,
    });
  }
}
