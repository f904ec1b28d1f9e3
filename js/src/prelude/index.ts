/**
 * What runs in the app's document before anything of the app: our only words in it. The kernel sends it as text, and
 * the view puts before it what this document is given.
 */
import { edges } from "./edges";
import { failures } from "./failures";
import { facade } from "./host";
import { anchors, escaping } from "./keys";
import type { Left } from "./names";
import { storage } from "./storage";
import { succession } from "./succession";
import { violations } from "./violations";

/** Stands before the script, in the same block. */
declare const given: { local: Record<string, string>; left: Left | null };

facade();
storage(given.local);
escaping();
anchors();
violations();
failures();
succession(given.left);
edges();
