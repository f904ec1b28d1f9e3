// A page's stand-in for JupyterLab with a kernel behind it: real widgets of the test's process, over HTTP.

window.link_kernel = (url) => {
  const widgets = new Map();
  // What carries a message to the other side; a test may put a worse one in its place.
  window.carry ??= (_way, _data, arrive) => arrive();
  let sending = Promise.resolve();
  const post = (id, data) => {
    const body = JSON.stringify({ id, data });
    window.carry("up", data, () => {
      // In their order, which requests side by side would not keep.
      sending = sending.then(() => fetch(`${url}/send`, { method: "POST", body }));
    });
  };

  const open = async (id, state) => {
    const model = new MockModel(state);
    model.receive = (content) => {
      model.sent.push({ ...structuredClone(content), at: performance.now() });
      post(id, { method: "custom", content });
    };
    const style = document.createElement("style");
    style.textContent = state._css;
    document.head.append(style);
    const address = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
    const { default: factory } = await import(address);
    const widget = factory();
    widget.initialize?.({ model: model.proxy(), signal: new AbortController().signal });
    return { model, widget };
  };

  const take = async ({ type, id, data }) => {
    if (type === "comm_open" && data.state._esm) widgets.set(id, open(id, data.state));
    const found = await widgets.get(id);
    if (!found || type !== "comm_msg") return;
    const copy = structuredClone(data);
    window.carry("down", copy, () => {
      if (copy.method === "custom") found.model.emit("msg:custom", copy.content);
      found.model.assign(copy.state ?? {});
    });
  };

  const host = {
    getWidget: async (ref) => {
      const found = await widgets.get(ref.replace("anywidget:", ""));
      if (!found) throw new Error(`no widget ${ref}`);
      return {
        render: async ({ el, signal }) =>
          found.widget.render({ model: found.model.proxy(), el, signal, host }),
      };
    },
  };

  const pump = async () => {
    for (let after = 0; ; ) {
      const messages = await (await fetch(`${url}/messages?after=${after}`)).json();
      after += messages.length;
      // One widget's messages in order, whoever else waits for its module.
      for (const message of messages) await take(message);
    }
  };
  pump();

  /** @param manager What the front end hands out as its widget manager. */
  window.show_widget = async (id, manager) => {
    while (!widgets.has(id)) await new Promise((next) => setTimeout(next, 5));
    const { model, widget } = await widgets.get(id);
    const el = document.createElement("div");
    el.className = "view";
    document.querySelector("#cell").append(el);
    const life = new AbortController();
    model.manager = manager;
    widget.render({ model: model.proxy(), el, host, signal: life.signal });
    window.model = model;
    window.close_view = () => {
      life.abort();
      el.remove();
    };
    return el;
  };
};
