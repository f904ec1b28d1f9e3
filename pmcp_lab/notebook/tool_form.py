"""The form of a tool's arguments, with a button that runs it and the card of what it started."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

import traitlets as t

from pmcp_lab.client import Server, Task, Tool, call_of
from pmcp_lab.errors import LabError
from pmcp_lab.host import fields, now, problems
from pmcp_lab.notebook.saved_html import static_form
from pmcp_lab.notebook.task_card import CardWidget


class ToolForm(CardWidget):
    """A tool to be filled in and run. Made by `Tool.form`.

    Attributes:
        task: What was run last, or None. Plain tools are called in the background and have a handle, too.
        values: The arguments as they were entered last.
    """

    _tool = t.Dict().tag(sync=True)

    def __init__(self, server: Server, tool: Tool, values: Mapping[str, Any]) -> None:
        self.server = server
        self.tool = tool
        self.values = dict(values)
        shown = {"name": tool.name, "title": tool.title, "server": server.name, "description": tool.description}
        super().__init__(None, _card="tool", _tool={**shown, "fields": fields(tool.input_schema, values)})

    @property
    def code(self) -> str:
        """The cell that does the same as the button."""
        given = "".join(f", {part}" for part in spelled(self.values))
        verb = "task" if self.tool.task_support in ("optional", "required") else "call"
        return f"lab.connected({self.server.name!r}).{verb}({self.tool.name!r}{given})"

    def to_cell(self) -> None:
        """Put `code` into a new cell below the one that runs.

        A button can't do that: a kernel may only hand out cells in the answer to one that is run.
        """
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is None:
            raise LabError("there is no notebook here to put a cell into")
        shell.set_next_input(f"import pmcp_lab as lab\n{self.code}")

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        if kind in ("run", "code"):
            asyncio.get_running_loop().create_task(self._filled(kind, view, content))
        else:
            super().receive(kind, view, content)

    async def _filled(self, kind: str, view: str, content: dict[str, Any]) -> None:
        entered = content.get("content")
        filled = dict(entered) if isinstance(entered, Mapping) else {}
        code = None
        try:
            wrong = await asyncio.to_thread(problems, self.tool.input_schema, filled)
            if not wrong:
                self.values = filled
                code = f"import pmcp_lab as lab\n{self.code}" if kind == "code" else None
                if kind == "run":
                    self._run(await asyncio.to_thread(self.server.task, self.tool.name, filled))
        except LabError as error:
            wrong = {"": error.message}
        except Exception as error:  # a view that waits has to hear of anything
            wrong = {"": f"{type(error).__name__}: {error}"}
        self.reply(view, {"kind": "filled", "problems": wrong, "code": code})

    def _run(self, task: Task) -> None:
        """Show another task from now on."""
        with self._lock:
            for stop in self._stops:
                stop()
            self._stops.clear()
            self._dirty = False
            self.task = task
            self._sent = len(call_of(task).history.moments)
            self._seq += 1
            self.post({"kind": "state", "seq": self._seq, "now": now(), "state": self.state()})
        self.follow(call_of(task))
        self._changed()

    def saved(self) -> str:
        return static_form(self.tool, self.code, fields(self.tool.input_schema, self.values), self.task)

    def __repr__(self) -> str:
        return f"<ToolForm {self.server.name}.{self.tool.name}>"


def spelled(values: Mapping[str, Any]) -> list[str]:
    """Arguments as Python spells them; a name that is no identifier, or one of ours, goes into a mapping."""
    own = {"ttl", "check", "timeout"}
    named = {
        name: value for name, value in values.items() if name.isidentifier() and not iskeyword(name) and name not in own
    }
    rest = {name: value for name, value in values.items() if name not in named}
    return ([repr(rest)] if rest else []) + [f"{name}={value!r}" for name, value in named.items()]
