// A page's stand-in for anywidget: models without a kernel, views without a notebook.

class MockModel {
  constructor(state, { live = true, answers = true, onrpc = null } = {}) {
    this.state = { layout: { comm_live: live }, ...state };
    this.sent = [];
    this.saved = [];
    this.answers = answers;
    this.taken = {};
    // In its place before a view is, or an app that calls at once would wait for ever.
    this.onrpc = onrpc && new Function(`return ${onrpc}`)();
    this.listeners = [];
  }
  // anywidget hands every caller its own proxy of one model.
  proxy() {
    const owner = {};
    return {
      widget_manager: this.manager,
      get: (name) => this.state[name],
      set: (name, value) => this.set(name, value),
      save_changes: () => this.saved.push({ ...this.state }),
      send: (content) => this.receive(content),
      on: (event, callback) => this.listeners.push({ event, callback, owner }),
      off: (event, callback) => {
        this.listeners = this.listeners.filter(
          (each) => each.owner !== owner || each.event !== event || each.callback !== callback,
        );
      },
    };
  }
  receive(content) {
    this.sent.push({ ...structuredClone(content), at: performance.now() });
    if (!this.answers) return;
    const { kind, view, seq, n, command, views } = content;
    if (command) this.taken[view] = command;
    if (kind === "hello") this.say({ kind: "welcome", to: view, seq, now: Date.now() });
    if (kind === "ping") this.say({ kind: "pong", to: view, n, views: this.standings(views) });
    if (kind === "code") void this.sendCode(view, content.name);
    this.onrpc?.(content);
  }
  // Nothing is lost on this page, and what a test says has no number.
  standings(views) {
    const of = (view) => [0, this.taken[view] ?? 0, 0, 1];
    return Object.fromEntries(Object.keys(views).map((view) => [view, of(view)]));
  }
  async sendCode(view, name) {
    const read = async (kind) => {
      const answer = await fetch(`/static/${name}.${kind}`);
      return answer.ok ? answer.text() : "";
    };
    const [module, style] = await Promise.all([read("js"), read("css")]);
    this.say({ kind: "code", to: view, payload: { name, module, style } });
  }
  emit(event, value) {
    for (const each of [...this.listeners]) if (each.event === event) each.callback(value);
  }
  say(content) {
    setTimeout(() => this.emit("msg:custom", content));
  }
  set(name, value) {
    this.state[name] = value;
    this.emit(`change:${name}`, value);
  }
  // All at once, and nobody hears of what is as it was.
  assign(state) {
    const changed = Object.keys(state).filter(
      (name) => JSON.stringify(state[name]) !== JSON.stringify(this.state[name]),
    );
    Object.assign(this.state, state);
    for (const name of changed) this.emit(`change:${name}`, state[name]);
  }
  setLive(live) {
    this.state.layout.comm_live = live;
    this.emit("comm_live_update");
  }
  kinds(kind) {
    return this.sent.filter((each) => each.kind === kind);
  }
}

window.open_widget = async (name, state, options = {}) => {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = `/static/${name === "app-view" ? name : "views"}.css`;
  document.head.append(link);
  await new Promise((resolve) => {
    link.onload = resolve;
  });
  const { default: factory } = await import(`/static/${name}.js`);
  if (name === "app-view") state._prelude ??= await (await fetch("/static/prelude.js")).text();
  const model = new MockModel(state, options);
  const life = new AbortController();
  const widget = factory();
  widget.initialize?.({ model: model.proxy(), signal: life.signal });
  window.model = model;
  window.widget = widget;
  window.views = [];
  window.mount = () => {
    const el = document.createElement("div");
    el.className = "view";
    document.querySelector("#cell").append(el);
    const view = new AbortController();
    widget.render({
      model: model.proxy(),
      el,
      // anywidget finds other widgets by this; the page's other widgets only show their name.
      host: {
        getWidget: async (ref) => ({ render: async ({ el }) => el.append(`widget ${ref}`) }),
      },
      signal: AbortSignal.any([life.signal, view.signal]),
    });
    const entry = {
      el,
      close: () => {
        view.abort();
        el.remove();
      },
    };
    window.views.push(entry);
    return entry;
  };
  if (options.mount !== false) window.mount();
};

window.task = (key, more = {}) => ({
  key,
  server: "demo",
  tool: "train",
  taskId: `task-${key}`,
  status: "working",
  message: null,
  progress: null,
  variables: {},
  started: Date.now() - 5000,
  updated: Date.now(),
  ended: null,
  ttl: 3600000,
  trouble: null,
  error: null,
  result: null,
  questions: [],
  ...more,
});

// Rows as the columns of a table's message (Patch of MESSAGES.md), the first of them at a place.
window.patch = (rows, first = 0) => {
  const places = rows.map((row, index) => row.n ?? first + index);
  const columns = {};
  const variables = {};
  const cells = {};
  for (const [place, { key, n, updated, questions, variables: own, cells: data, ...row }] of rows.entries()) {
    if (questions) row.questions = questions.map((each) => [each.key, each.message]);
    for (const [name, value] of Object.entries(row)) {
      columns[name] ??= { at: [], values: [] };
      columns[name].at.push(place);
      columns[name].values.push(value);
    }
    for (const [name, value] of Object.entries(own ?? {})) {
      variables[name] ??= { at: [], values: [] };
      variables[name].at.push(place);
      variables[name].values.push(value);
    }
  }
  for (const [place, { cells: data }] of rows.entries()) {
    for (const [name, value] of Object.entries(data ?? {})) {
      cells[name] ??= { at: [], values: [] };
      cells[name].at.push(place);
      cells[name].values.push(value);
    }
  }
  return { rows: places, columns, variables, cells };
};

window.COLUMNS = [
  ...["server", "tool", "status", "progress", "message", "duration", "age", "ttl", "variables"],
];

// Every text on the page whose contrast with what is behind it is below WCAG AA.
window.low_contrast = () => {
  const parse = (text) => (text.match(/[\d.]+%?/g) ?? []).map(Number);
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const paint = (layers) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of layers) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1) }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const low = [];
  for (const node of document.querySelectorAll(".pmcp *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || node.disabled || node.offsetParent === null) continue;
    // Shown only under the pointer.
    if (getComputedStyle(node).opacity === "0") continue;
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
    layers.unshift("white");
    const back = light(paint(layers));
    const fore = light(paint([...layers, getComputedStyle(node).color]));
    const ratio = (Math.max(back, fore) + 0.05) / (Math.min(back, fore) + 0.05);
    if (ratio < 4.5) low.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
  }
  return low;
};
