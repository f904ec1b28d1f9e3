// A wire that loses messages, delays them and delivers them twice, by a seed; a person who clicks; and what is to be
// read in each view. Time passes faster, so that pauses of many seconds can be waited for.

// mulberry32: one stream of numbers for each seed.
const chance = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

window.hasten = (speed) => {
  const [later, now] = [window.setTimeout.bind(window), performance.now.bind(performance)];
  window.setTimeout = (run, delay = 0, ...given) => later(run, delay / speed, ...given);
  performance.now = () => now() * speed;
  window.later = later;
};

window.faults = { on: true, lost: 0, late: 0, twice: 0 };
window.shake = (seed, { lose, delay, double }) => {
  const next = chance(seed);
  window.carry = (_way, data, arrive) => {
    const { faults } = window;
    // The page's own traits go another way, which is Jupyter's.
    if (!faults.on || data.state?._state) return arrive();
    const one = () => {
      if (next() < delay) {
        faults.late += 1;
        // Long enough for newer ones to come first.
        window.later(arrive, next() * 400);
      } else arrive();
    };
    if (next() < double) {
      faults.twice += 1;
      one();
    }
    if (next() < lose) faults.lost += 1;
    else one();
  };
};

const shown = (node) => node.checkVisibility();
const buttons = (el, name) =>
  [...el.querySelectorAll("button")].filter(
    (node) => shown(node) && node.ariaDisabled !== "true" && node.textContent.startsWith(name),
  );
// The last of the fields is the one that has no value yet.
const fill = (el, value) => {
  const input = [...(el?.querySelectorAll("input, textarea") ?? [])].at(-1);
  if (!input) return;
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
};
const text = (el, selector) => {
  const node = [...el.querySelectorAll(selector)].find(shown);
  return node?.textContent ?? null;
};
/** What a person would be kept waiting by. */
const spinning = (el) =>
  [...el.querySelectorAll("button")]
    .filter((node) => shown(node) && /ing….*|Cancelling|Ending/.test(node.textContent))
    .map((node) => node.textContent);
const link = (el) => text(el, ".pmcp-link-state, [data-state=busy] .pmcp-app-state") || "";

const answer = (el, next) => {
  for (const ask of el.querySelectorAll(".pmcp-ask")) {
    if (next() > 0.3) continue;
    fill(ask, "Ada");
    for (const send of buttons(ask, "Send")) send.click();
  }
};

const card = (el) => ({
  status: el.querySelector(".pmcp-card")?.dataset.status ?? null,
  asks: [...el.querySelectorAll(".pmcp-ask")].filter(shown).length,
  message: text(el, ".pmcp-card-message") ?? "",
  result: text(el, ".pmcp-outcome-text"),
  moments: Number(/\d+/.exec(text(el, ".pmcp-lifecycle summary") ?? "0")?.[0]),
});

/** By kind of view: what the person does in it, and what can be read. */
const VIEWS = {
  card: {
    act: (el, next, { cancels }) => {
      answer(el, next);
      if (cancels && next() < 0.03) for (const node of buttons(el, "Cancel")) node.click();
    },
    read: card,
  },
  form: {
    act: (el, next, entry) => {
      answer(el, next);
      if (entry.presses >= 2 || next() > 0.1) return;
      const [run] = buttons(el, "Run");
      if (!run) return;
      fill(run.closest("form"), String(entry.seed * 10 + entry.presses));
      run.click();
      if (run.ariaDisabled === "true") entry.presses += 1;
    },
    read: card,
  },
  table: {
    act: (el, next, { cancels }) => {
      // What nobody can see sleeps.
      if (next() < 0.1 || !window.faults.on)
        el.style.display = window.faults.on && next() < 0.5 ? "none" : "";
      if (cancels && next() < 0.05) {
        const all = [...el.querySelectorAll('[role="row"] button[aria-label^="Cancel"]')];
        const one = all.find((each) => shown(each) && each.ariaDisabled !== "true");
        // It is meant at the second click.
        one?.click();
        one?.click();
      }
    },
    read: (el) => ({
      rows: [...el.querySelectorAll('[role="row"][data-status]')]
        .filter(shown)
        .map((row) => [row.dataset.status, row.textContent]),
    }),
  },
  selection: {
    act: (el, next, entry) => {
      const all = el.querySelector('[aria-label="Select all rows"]');
      if (all && shown(all) && !all.checked && next() < 0.2) all.click();
      answer(el, next);
      const asks = [...el.querySelectorAll(".pmcp-ask")].some(shown);
      if (!asks && next() < 0.1) for (const node of buttons(el, "Answer")) node.click();
      // Both have failed: a press is for all of them, and is made once.
      if (entry.presses > 0 || next() > 0.2) return;
      const [retry] = buttons(el, "Retry 2");
      if (!retry) return;
      entry.presses += 1;
      retry.click();
    },
    read: (el) => ({
      ...VIEWS.table.read(el),
      asks: [...el.querySelectorAll(".pmcp-ask")].filter(shown).length,
      said: text(el, ".pmcp-footer-said") ?? "",
    }),
  },
  workflow: {
    act: (el, next) => {
      answer(el, next);
      if (next() > 0.2) return;
      for (const node of buttons(el, "Call save")) {
        fill(node.closest("form"), "words");
        node.click();
      }
    },
    read: (el) => ({
      status: el.querySelector(".pmcp-workflow")?.dataset.status ?? null,
      steps: [...el.querySelectorAll('[aria-label="Steps"] > [data-status]')].map(
        (each) => each.dataset.status,
      ),
      asks: [...el.querySelectorAll(".pmcp-ask")].filter(shown).length,
    }),
  },
  catalogue: { act: () => {}, read: (el) => ({ text: el.textContent }) },
  app: { act: () => {}, read: (el) => ({ state: el.querySelector("[data-state]").dataset.state }) },
};

const people = new Map();
window.visit = async (name, id, kind, seed, manager) => {
  const el = await window.show_widget(id, manager);
  const entry = { el, kind, seed, presses: 0, cancels: Math.floor(seed / 6) % 4 === 1 };
  people.set(name, entry);
  const next = chance(seed + 99);
  const go = () => {
    if (!el.isConnected) return;
    VIEWS[kind].act(el, next, entry);
    window.later(go, 30);
  };
  go();
};
window.facts = () =>
  Object.fromEntries(
    [...people].map(([name, { el, kind, presses }]) => [
      name,
      { ...VIEWS[kind].read(el), presses, spinning: spinning(el), link: link(el) },
    ]),
  );
window.leave = () => {
  for (const { el } of people.values()) el.remove();
  people.clear();
};
window.front_end = () => {
  const signal = { connect() {}, disconnect() {} };
  const kernel = { status: "idle", connectionStatus: "connected" };
  return { kernel: { ...kernel, statusChanged: signal, connectionStatusChanged: signal } };
};
