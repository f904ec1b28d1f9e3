import { type Status, statusLabel } from "../shared/task";
import type { TableContext } from "./context";

/** Why a table shows no row. */
export function emptyText({ settings, feed, rows }: TableContext): string {
  if (!feed.filled) return "Waiting for the kernel…";
  if (rows.size === 0) return "No tasks yet. They appear here as soon as they are started.";
  const only = /^status:(\w+)$/.exec(settings.filter.trim());
  if (only) return `No task is in the state “${statusLabel(only[1] as Status)}”.`;
  return `Nothing matches “${settings.filter}”.`;
}
