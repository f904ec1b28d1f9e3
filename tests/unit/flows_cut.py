"""Three workflows with something of everything, three clients that lead them, and processes that are killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import comm
from mcp.server.mcpserver.exceptions import ToolError

import pmcp_lab as lab
from pmcp_lab.client import driver_of, runtime
from pmcp_lab.errors import LabError
from pmcp_lab.notebook import WorkflowView
from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.workflow_wire import Action, WorkflowState
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, constant, from_step, prompt_arg, task_variable, template
from tests.unit.flow import Flow, Visitor
from tests.unit.front_end import Comm, FrontEnd, until

RELEASE = (
    SequentialWorkflow("release", "Build a version and publish it")
    .argument("version", "What to release")
    .argument("channel", "Where to", required=False)
    .step("notes", resources=["docs://notes/{version}"])
    .step("build", "build", {"version": prompt_arg("version")}, bind="artifact", retryable=True, retries=1, backoff=0)
    .step(
        "stage",
        "put",
        {"file": from_step("artifact", "file.path"), "at": constant("stage")},
        undo=("drop", {"at": "stage"}),
    )
    .step(
        "approve", execution="manual", question="Publish {version}{channel}?", answer={"ok": "boolean"}, proceed_if="ok"
    )
    .step("publish", "put", {"file": from_step("artifact", "file.path"), "at": "world"}, guarded=False, bind="place")
    .step(
        "tell",
        "say",
        {"text": template("{version} is at {place}")},
        values={"place": from_step("place")},
        retryable=True,
    )
)
"""Every kind of source but a variable; a retry, a yes."""

REPORT = (
    SequentialWorkflow("report", "Write a report and send it")
    .argument("count", "How many", type="integer")
    .step("fetch", "build", {"version": template("r{count}")}, bind="figures", retryable=True)
    .step(
        "summary", "say", {"text": from_step("figures", "file.path")}, execution="client", retryable=True, bind="text"
    )
    .step("to", "seal", {"mark": task_variable("mark")}, bind="sealed", guarded=True, retryable=True)
    .step(
        "choose",
        "put",
        {"file": from_step("text")},
        execution="manual",
        question="Where to?",
        answer={"at": {"type": "string", "enum": ["team", "board"]}, "sure": "boolean"},
        proceed_if="sure",
        bind="sent",
    )
    .step("spare", "fail", {"text": from_step("sent")}, optional=True)
    .step("tell", "say", {"text": from_step("sealed")}, retryable=True)
)
"""A step of the client's, a variable, a manual step with a tool, one that fails and may."""

MOVE = (
    SequentialWorkflow("move", "Move things, or put them back", ttl="2h")
    .step("one", "put", {"file": "1", "at": "one"}, bind="a", undo=("drop", {"at": from_step("a")}), retryable=True)
    .step("two", "put", {"file": "2", "at": "two"}, bind="b", undo=("drop", {"at": from_step("b")}), retryable=True)
    .step("look", resources=["docs://notes/move"])
    .step("three", "put", {"file": "3", "at": "three"}, bind="c", undo=("drop", {"at": from_step("c")}), retryable=True)
    .step(
        "keep",
        execution="manual",
        question="Keep it?",
        answer={"ok": "boolean"},
        proceed_if="ok",
        within="150ms",
        otherwise="stop",
    )
    .step("tell", "say", {"text": "kept"})
)
"""Nobody answers: everything is taken back."""

WORKFLOWS = {each.name: each for each in (RELEASE, REPORT, MOVE)}
ARGUMENTS = {"release": {"version": "1"}, "report": {"count": "3"}, "move": {}}
VALUES = {"mark": "m", "text": "1 is at world"}
ANSWERS: dict[str, dict[str, Any]] = {"approve": {"ok": True}, "choose": {"at": "team", "sure": True}}


class Cut:
    """Where a process is killed: at its write of this number, or before or after its tool call of this number."""

    def __init__(self, where: str = "", number: int = 0) -> None:
        self.where, self.number = where, number
        self.counts = {"written": 0, "before": 0, "after": 0}

    def at(self, where: str) -> None:
        self.counts[where] += 1
        if (self.where, self.number) == (where, self.counts[where]):
            os.kill(os.getpid(), signal.SIGKILL)


def flow(folder: Path, name: str, cut: Cut | None = None) -> Flow:
    """The server."""
    cut, log = cut or Cut(), folder / "log"

    def did(what: str) -> None:
        cut.at("before")
        with log.open("a") as file:
            file.write(f"{what}\n")
        cut.at("after")

    def build(version: str) -> dict[str, Any]:
        did(f"build {version}")
        return {"file": {"path": f"{version}.zip"}}

    def put(file: str, at: str) -> str:
        did(f"put {at}")
        return at

    def drop(at: str) -> None:
        did(f"drop {at}")

    def seal(mark: str) -> str:
        did("seal")
        return mark

    def say(text: str) -> str:
        did("say")
        return text

    def fail(text: str) -> str:
        raise ToolError(text)

    def notes(topic: str) -> str:
        return f"notes on {topic}"

    tasks = Tasks(f"sqlite:///{folder}/tasks.db", lease=0.3)
    replace = tasks.store.backend.replace

    async def replace_and_die(record: Any, **more: Any) -> None:
        await replace(record, **more)
        if record.method == name:
            cut.at("written")

    tasks.store.backend.replace = replace_and_die  # type: ignore[method-assign]
    tools = [build, put, drop, seal, say, fail]
    return Flow(WORKFLOWS[name], *tools, resources={"docs://notes/{topic}": notes}, tasks=tasks)


def _look(folder: Path, step: str) -> bool:
    """Whether a step that may not run twice has done what it does, as a person would find out."""
    said = {"stage": "put stage", "publish": "put world", "choose": "put team"}[step]
    return said in (folder / "log").read_text().splitlines()


# --- three clients ---


async def plain(served: Flow, folder: Path, name: str, task: str | None) -> None:
    """Knows `prompts/get` and `tools/call` alone."""
    async with served.visitor() as visitor:
        state = await visitor.get(ARGUMENTS[name]) if task is None else await visitor.get(task=task)
        for _ in range(40):
            if state.status in ("completed", "failed"):
                return
            state = await _plain_step(visitor, state, folder, name)
    raise AssertionError(f"it does not end: {state}")


async def _plain_step(visitor: Visitor, state: WorkflowState, folder: Path, name: str) -> WorkflowState:
    task, pause = state.task_id, state.pause
    call = next((each for each in state.calls if each.kind == "call"), None)
    if pause is not None and not state.calls:
        return await _looked_after(visitor, state, folder)
    if call is None or (name == "move" and call.target.startswith("answer_")):
        await anyio.sleep(0.05)
        return await visitor.get(task=task)
    if call.target.startswith("answer_"):
        given = {**call.arguments, "action": "accept", "content": ANSWERS[str(call.step)]}
        result = await visitor.client.call_tool(call.target, given)
        found = workflow_wire.read_call(result.model_dump(by_alias=True, mode="json"))
        assert found is not None
        return found
    arguments = {**call.arguments, **{missing: VALUES[missing] for missing in call.missing}}
    return await visitor.call(call.target, arguments, task=task, step=call.step)


async def _looked_after(visitor: Visitor, state: WorkflowState, folder: Path) -> WorkflowState:
    assert state.pause is not None
    step = state.pause.step
    if _look(folder, step) and state.skippable == step:
        return await visitor.get(task=state.task_id, action=Action(kind="skip", step=step, reason="it is done"))
    tool = next(each.tool for each in state.steps if each.name == step)
    arguments = {
        "file": "1.zip" if step != "choose" else "r3.zip",
        "at": {"stage": "stage", "publish": "world"}.get(step, "team"),
    }
    return await visitor.call(str(tool), arguments, task=state.task_id, step=step)


async def python(served: Flow, folder: Path, name: str, task: str | None) -> None:
    await asyncio.to_thread(_led, served, folder, name, task, view=False)


async def view(served: Flow, folder: Path, name: str, task: str | None) -> None:
    comm.create_comm = Comm
    await asyncio.to_thread(_led, served, folder, name, task, view=True)


def _led(served: Flow, folder: Path, name: str, task: str | None, *, view: bool) -> None:
    try:
        _led_by(served, folder, name, task, view=view)
    finally:
        # What looks for lost tasks runs on the loop that served.
        runtime().run(served.tasks.close())


def _led_by(served: Flow, folder: Path, name: str, task: str | None, *, view: bool) -> None:
    with lab.connect(served.server, name="cut") as server:
        run = server.workflow(name, ARGUMENTS[name] if task is None else {}, task_id=task)
        page = FrontEnd(WorkflowView(run)) if view else None
        step: Callable[[lab.client.WorkflowRun, Path], None] = _by_hand if page is None else _by_view(page)
        end = time.monotonic() + 20
        while not run.done():
            assert time.monotonic() < end, repr(run)
            with suppress(LabError):
                # What was begun on what was seen then.
                driver_of(run).land(20)
            if run.calls or run.pause is not None or (run.task is not None and run.task.questions):
                try:
                    step(run, folder)
                except LabError as error:
                    # It went on meanwhile.
                    if not (
                        "nothing to be done" in str(error)
                        or "asks nothing" in str(error)
                        or "is over" in str(error)
                        or run.done()
                    ):
                        raise
            time.sleep(0.02)


def _by_hand(run: lab.client.WorkflowRun, folder: Path) -> None:
    pause = run.pause
    if pause is None:
        return
    if pause.kind == "inputRequired":
        if pause.step in ANSWERS and run.task is not None and run.task.questions:
            run.answer(ANSWERS[pause.step])
            time.sleep(0.1)
    elif not run.calls:
        if _look(folder, pause.step) and run.state is not None and run.state.skippable == pause.step:
            run.skip("it is done")
        else:
            at = {"stage": "stage", "publish": "world"}.get(pause.step, "team")
            run.call_step(pause.step, file="1.zip" if pause.step != "choose" else "r3.zip", at=at)
    else:
        run.next({name: VALUES[name] for name in run.calls[0].missing} | _variable(run))


def _variable(run: lab.client.WorkflowRun) -> dict[str, Any]:
    return {"mark": "m"} if run.calls[0].kind == "variable" else {}


def _by_view(page: FrontEnd) -> Callable[[lab.client.WorkflowRun, Path], None]:
    """Does what a person does with the mouse: only what the view shows, and by its messages."""

    def step(run: lab.client.WorkflowRun, folder: Path) -> None:
        page.send(kind="hello", view="v", seq=-1)
        until(lambda: page.of("state"), 10)
        state = page.of("state")[-1]["state"]
        shown, asked = state["workflow"], state["questions"]
        before = len(page.of("made"))
        if asked:
            if shown["pause"] and shown["pause"]["step"] in ANSWERS:
                content = ANSWERS[shown["pause"]["step"]]
                page.send(kind="answer", view="v", question=asked[0]["key"], action="accept", content=content)
                time.sleep(0.2)
            return
        calls = [call for call in shown["calls"] if call["kind"] != "answer"]
        if calls:
            call = calls[0]
            content = {each["name"]: each["default"] for each in call["fields"] if "default" in each}
            content |= {each["name"]: VALUES[each["name"]] for each in call["fields"] if each["name"] in VALUES}
            page.send(kind="make", view="v", call=call["key"], content=content)
        elif shown["skippable"] and _look(folder, shown["skippable"]):
            page.send(kind="skip", view="v", step=shown["skippable"], content={"reason": "it is done"})
        elif shown["pause"] and shown["pause"]["kind"] == "toolError":
            _by_hand(run, folder)
            return
        else:
            return
        until(lambda: len(page.of("made")) > before or run.done(), 10)

    return step


CLIENTS = {"plain": plain, "python": python, "view": view}


# --- killed ---


def killed(folder: Path, name: str, client: str, where: str, number: int) -> int | None:
    """How the process ended that began it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(folder, name, client, where, number))
    process.start()
    process.join(50)
    return process.exitcode


def _run(folder: Path, name: str, client: str, where: str, number: int) -> None:
    folder.mkdir()
    (folder / "log").touch()
    asyncio.run(_lead(folder, name, client, Cut(where, number)))
    # Not by the way of an interpreter that ends: threads of the kernel's side go on.
    os._exit(0)


async def _lead(folder: Path, name: str, client: str, cut: Cut) -> None:
    served = flow(folder, name, cut)
    await CLIENTS[client](served, folder, name, None)
    await served.tasks.close()
