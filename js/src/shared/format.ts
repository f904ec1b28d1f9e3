const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (n: number): string => String(n).padStart(2, "0");

/** `0:07`, `12:34`, `3:02:11`, `2d 04h`: never wider than 7 characters, never jumps in width by a unit. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return "0:00";
  if (ms >= DAY) return `${Math.floor(ms / DAY)}d ${two(Math.floor((ms % DAY) / HOUR))}h`;
  const seconds = two(Math.floor((ms % MINUTE) / SECOND));
  const minutes = Math.floor((ms % HOUR) / MINUTE);
  if (ms >= HOUR) return `${Math.floor(ms / HOUR)}:${two(minutes)}:${seconds}`;
  return `${minutes}:${seconds}`;
}

/** A duration in words, for titles and screen readers. */
export function spoken(ms: number): string {
  if (!Number.isFinite(ms) || ms < SECOND) return "less than a second";
  const parts: string[] = [];
  const units: [number, string][] = [
    [DAY, "day"],
    [HOUR, "hour"],
    [MINUTE, "minute"],
    [SECOND, "second"],
  ];
  let rest = ms;
  for (const [size, name] of units) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count > 0) parts.push(`${count} ${name}${count === 1 ? "" : "s"}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** A moment relative to the start of a task: `+0.4 s`, `+12 s`, `+3:20`. */
export function offset(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return "+0 s";
  if (ms < 10 * SECOND) return `+${(Math.round(ms / 100) / 10).toString()} s`;
  if (ms < MINUTE) return `+${Math.floor(ms / SECOND)} s`;
  return `+${duration(ms)}`;
}

/** The time of day in the reader's locale, with seconds. */
export function clock(epoch: number): string {
  return new Date(epoch).toLocaleTimeString(undefined, { hour12: false });
}

export function percent(progress: number): string {
  // 99.6 % is not done yet.
  return `${progress >= 1 ? 100 : Math.min(99, Math.round(progress * 100))}%`;
}

const thousands = new Intl.NumberFormat("en");

/** How many: `999`, `1,000`. */
export function count(n: number): string {
  return n < 1000 ? String(n) : thousands.format(n);
}

/** One line for any JSON value; long ones end in an ellipsis. */
export function compact(value: unknown, limit = 40): string {
  let text: string;
  if (typeof value === "string") text = value;
  else if (typeof value === "number") text = number(value);
  else if (value === undefined) text = "";
  else text = JSON.stringify(value) ?? String(value);
  text = text.slice(0, limit * 4).replace(/\s+/g, " ");
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/** A value in as many lines as it has: those of a text, and one for each object of a list. */
export function lined(value: unknown): string {
  if (typeof value === "string" && value.includes("\n")) return value.slice(0, 9999);
  if (!Array.isArray(value) || typeof value[0] !== "object") return compact(value, 400);
  return value.map((each) => compact(each, 400)).join("\n");
}

function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e9) return String(Number(value.toPrecision(5)));
  return value.toExponential(3);
}

/** JSON for people; what has none (a cycle, a BigInt) is said instead. */
export function json(value: unknown): string {
  try {
    return JSON.stringify(value, null, 2) ?? String(value);
  } catch (error) {
    return `This cannot be shown as JSON: ${error}`;
  }
}
