/** What a kernel says of one tool, resource, prompt or skill; see MESSAGES.md. */
export interface Field {
  name: string;
  type: string;
  required: boolean;
  /** Bounds, formats and the default, in words. */
  notes: string;
  description: string;
}

export interface Table {
  caption: string;
  /** Of the name, of the type, and of the rest; the column of an empty one is left out. */
  heads: [string, string, string];
  rows: Field[];
}

export interface Item {
  name: string;
  title: string;
  summary: string;
  description: string;
  badges: string[];
  /** What a person should not overlook. */
  trouble: string;
  tables: Table[];
  code: { label: string; text: string }[];
}

export interface Catalogue {
  server: string;
  noun: string;
  items: Item[];
}

/** The items that have every word, as `search` in Python has it. */
export function matching(items: Item[], query: string): Item[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return items.filter((item) => {
    const body = `${item.name} ${item.title} ${item.description}`.toLowerCase();
    return words.every((word) => body.includes(word));
  });
}
