"""A workflow as PMCP's Rust server leads it (reference shapes, recorded by hand): three steps, the second pauses."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.scripted_http import ScriptedHttp, _result

TOOLS = {"run_build": ["version"], "upload_file": ["file", "bucket"], "announce": ["text"]}
STEPS = {"build": "run_build", "upload": "upload_file", "announce": "announce"}
PAUSE = {
    "type": "unresolvableParams",
    "blockedStep": "upload",
    "missingParam": "bucket",
    "suggestedTool": "upload_file",
}
HANDOFF = """Step 'upload' needs a value for 'bucket'.

To continue the workflow, make these calls:

1. Call upload_file with {"file":"a.tar","bucket":"<prompt arg bucket>"}
   Note: Ask which bucket it is.
2. Call announce with {"text":"<output from address>"}"""


class PmcpWorkflow(ScriptedHttp):
    """Records what the client did in PMCP's way: nothing in the answer of a call, all in the task's `_meta`."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "completed"
        self.variables: dict[str, Any] = {}
        self.continued: list[dict[str, Any]] = []
        self.result: Any = None

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                answer = super()._answer(method, params)
                answer["result"]["capabilities"]["prompts"] = {}
                return answer
            case "tools/list":
                return _result(tools=[_tool(name, names) for name, names in TOOLS.items()])
            case "prompts/list":
                version = {"name": "version", "description": "", "required": True}
                return _result(prompts=[{"name": "ship", "description": "Ship it", "arguments": [version]}])
            case "prompts/get":
                return self._prompt()
            case "tools/call":
                return self._called(params)
            case "tasks/cancel":
                self.result = params.get("result")
                self.tasks["wf"] = "completed" if "result" in params else "cancelled"
                return _result(**self._task("wf"))
            case "tasks/result":
                return _result(content=[{"type": "text", "text": json.dumps(self.result)}])
            case _:
                return super()._answer(method, params)

    def _prompt(self) -> dict[str, Any]:
        self.tasks["wf"] = "working"
        self.variables = {
            "_workflow.progress": self._progress({"build": "completed"}),
            "_workflow.result.build": {"file": "a.tar"},
            "_workflow.pause_reason": PAUSE,
        }
        steps = [{"name": name, "status": "completed" if name == "build" else "pending"} for name in STEPS]
        texts = ["The user wants to ship it.", "Here's my plan", HANDOFF]
        messages = [{"role": "assistant", "content": {"type": "text", "text": text}} for text in texts]
        meta = {"task_id": "wf", "task_status": "working", "steps": steps, "pause_reason": PAUSE}
        return _result(description="Ship it", messages=messages, _meta=meta)

    def _progress(self, done: dict[str, str]) -> dict[str, Any]:
        steps = [{"name": name, "tool": tool, "status": done.get(name, "pending")} for name, tool in STEPS.items()]
        return {"goal": "ship: Ship it", "steps": steps, "schemaVersion": 1}

    def _called(self, params: dict[str, Any]) -> dict[str, Any]:
        self.continued.append(params)
        given = params["arguments"]
        if given.get("bucket") == "locked":
            return _result(content=[{"type": "text", "text": "bucket is locked"}], isError=True)
        answer = {"content": [{"type": "text", "text": json.dumps(given)}], "isError": False}
        if params.get("_meta", {}).get("_task_id") == "wf":
            step = next(name for name, tool in STEPS.items() if tool == params["name"])
            done = {each["name"]: each["status"] for each in self.variables["_workflow.progress"]["steps"]}
            self.variables["_workflow.progress"] = self._progress({**done, step: "completed"})
            self.variables[f"_workflow.result.{step}"] = answer
            self.variables.pop("_workflow.pause_reason", None)
        return {"result": answer}

    def _task(self, task_id: str) -> dict[str, Any]:
        return {**super()._task(task_id), "_meta": self.variables}


def _tool(name: str, names: list[str]) -> dict[str, Any]:
    properties = {each: {"type": "string"} for each in names}
    return {"name": name, "inputSchema": {"type": "object", "properties": properties, "required": names}}
