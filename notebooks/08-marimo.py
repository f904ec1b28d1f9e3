import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo

    import pmcp_lab as lab

    return lab, mo


@app.cell
def _(mo):
    mo.md("""
    # `pmcp_lab` in marimo

    `marimo edit notebooks/08-marimo.py`, or `marimo run` for the page without its code. Servers, tasks, sets, listings,
    forms, workflows and apps show themselves, as the last value of a cell or within `mo.hstack`, `mo.md`, `mo.ui.tabs`.
    There is no `%load_ext` and no `%mcp`: what the magics do, `lab.connect` and the server's methods do.
    """)
    return


@app.cell
def _(lab):
    demo = lab.connect("demo")
    demo.tools
    return (demo,)


@app.cell
def _(mo):
    mo.md("""
    **Connections outlive their cell.** A cell that runs again, because something above it changed, gets the connection
    that is there: `lab.connect` of the same target opens none twice. `demo.close()` ends it.

    **A cell that starts tasks starts them again each time it runs**, and marimo runs it by itself. What shall happen
    once waits for a button, as here; a sweep with a name goes on with what is missing, and starts nothing twice.
    """)
    return


@app.cell
def _(mo):
    publish = mo.ui.run_button(label="Publish model-1")
    publish
    return (publish,)


@app.cell
def _(demo, mo, publish):
    mo.stop(not publish.value, mo.md("*Nothing was started yet.*"))
    asking = demo.task("publish", model="model-1")
    asking
    return


@app.cell
def _(demo):
    sweep = demo.map("train", [{"epochs": epochs} for epochs in (8, 10, 12)], seconds=10, name="epochs", resume=True)
    sweep
    return (sweep,)


@app.cell
async def _(mo, sweep):
    await sweep
    mo.ui.table(sweep.df[["epochs", "status", "seconds"]], selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    **While a cell runs, marimo's kernel hears nothing.** What is shown goes on, as it comes from a thread of its own; a
    click waits until the cell has ended. So a plain `demo.call(…)` can't ask anything here, and says so: start it with
    `demo.task(…)`, whose card asks, or let `demo.on_input` answer. What an app or a workflow asks is answered in its
    cell.

    **The stop button** ends a wait; the tasks go on, and so do their cards. Run the waiting cell again to have the
    result. Cells that had not begun yet are to be run again, too.
    """)
    return


@app.cell
def _(demo):
    wave = demo.app("wave", frequency=2)
    wave
    return (wave,)


@app.cell
def _(demo):
    demo.tool("train").form(epochs=3)
    return


@app.cell
def _(mo):
    mo.md("""
    **`marimo run` has one process for all visitors**, each with a run of the notebook: connections, and who is signed
    in at a server, are theirs together. An app for people who must not see each other's tasks needs a process for each.

    **What is kept.** Tasks and sweeps are found again after a restart of the kernel under Jupyter only.
    A page of `marimo export html` has what was shown last, apps included, marked as a snapshot: nothing on it can be
    answered. It takes marimo's own code from a network. `python notebooks/08-marimo.py` runs it as a script.
    """)
    return


if __name__ == "__main__":
    app.run()
