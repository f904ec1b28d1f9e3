import type { Channel } from "./channel";

/** What a widget says about its link; nothing while all is well. */
export function linkText(channel: Channel): string {
  return channel.link === "static" ? "no live kernel: static snapshot" : channel.trouble();
}
