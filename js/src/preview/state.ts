/** What the preview's server tells a page: see `pmcp_lab/preview/session.py`. */
import type { Field } from "../form/field";

export interface Status {
  status: "connecting" | "open" | "reconnecting" | "silent" | "closed" | "failed";
  text: string;
  detail: string;
  signIn: string | null;
  /** The server wants to know who asks. */
  refused: boolean;
  profile: string;
  selected: string | null;
  server: ServerInfo | null;
}

export interface ServerInfo {
  name: string;
  target: string;
  transport: string;
  version?: string;
  info: { name?: string; title?: string; version?: string; instructions?: string };
}

export interface ToolInfo {
  name: string;
  title: string;
  description: string;
  /** The resource that shows it. */
  app: string | null;
  appOnly: boolean;
  badges: string[];
  fields: Field[];
}

export interface ResourceInfo {
  uri: string;
  name: string;
  description: string;
}

export interface Outcome {
  call: number;
  ms: number;
  result?: CallResult;
  error?: { code: number; message: string; data?: unknown };
  problems?: Record<string, string>;
}

export interface CallResult {
  content?: unknown;
  structuredContent?: unknown;
  isError?: boolean;
}
