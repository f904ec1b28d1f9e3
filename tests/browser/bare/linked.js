// A page's stand-in for JupyterLab with a kernel behind it: real widgets of the test's process, over HTTP.

window.link_kernel = (url) => {
  const widgets = new Map();
  const post = (id, data) =>
    fetch(`${url}/send`, { method: "POST", body: JSON.stringify({ id, data }) });

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
    if (data.method === "custom") found.model.emit("msg:custom", data.content);
    for (const [name, value] of Object.entries(data.state ?? {})) found.model.set(name, value);
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

  window.show_widget = async (id) => {
    while (!widgets.has(id)) await new Promise((next) => setTimeout(next, 5));
    const { model, widget } = await widgets.get(id);
    const el = document.createElement("div");
    el.className = "view";
    document.querySelector("#cell").append(el);
    const life = new AbortController();
    widget.render({ model: model.proxy(), el, host, signal: life.signal });
    window.model = model;
    window.close_view = () => {
      life.abort();
      el.remove();
    };
  };
};
