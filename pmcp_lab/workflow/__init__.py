"""Sequential workflows: the server leads them as far as it can, hands over what only its client can do, and goes on.

```python
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg, task_variable

release = (
    SequentialWorkflow("release", "Build a version and publish it")
    .argument("version", "What to release")
    .step("notes", resources=["docs://changes/{version}"])
    .step("build", "build", {"version": prompt_arg("version")}, bind="artifact", retryable=True, retries=2, timeout=60)
    .step("approve", execution="manual", question="Publish {version}?", answer={"ok": "boolean"})
    .step("upload", "upload", {"file": from_step("artifact", "file.path"), "bucket": task_variable("bucket")})
)

tasks = Tasks("sqlite:///tasks.db")
server = MCPServer("lab", extensions=[tasks], middleware=[tasks])
workflows = Workflows([release, SequentialWorkflow.load("nightly.yaml")], tasks)
workflows.attach(server)  # when the tools are declared: checks every workflow against them
```

Each is a prompt. `prompts/get` makes a task, runs the steps that can be run, and answers with messages that anybody
can follow and with `_meta` that a program can (`pmcp_lab.protocol.handoff`). What comes next:

* `tools/call` or `resources/read` with `_meta._task_id` does the step it is for and goes on from there;
* an answer to the task's question, or a variable that a step waits for, does so too;
* `prompts/get` with `_meta._task_id`, or `await workflows.resume(task_id)`, tries once more what may be tried again;
* `tasks/cancel` ends it, with a `result` as completed.

`definition` is what an author writes, `checking` what is wrong with it, `resolving` where values come from, `plan` what
comes next (no I/O), `run` the leading, `calling` what a step does, `record` what is kept in the task, `telling` the
words, `extension` the server's side. How tasks work is in `pmcp_lab.tasks`; how it looks in JSON, in
`pmcp_lab.protocol.handoff`.
"""

from pmcp_lab.workflow.definition import (
    Argument,
    SequentialWorkflow,
    Step,
    constant,
    from_step,
    prompt_arg,
    task_variable,
    template,
)
from pmcp_lab.workflow.extension import Workflows

__all__ = [
    "Argument",
    "SequentialWorkflow",
    "Step",
    "Workflows",
    "constant",
    "from_step",
    "prompt_arg",
    "task_variable",
    "template",
]
