"""Sequential workflows: the server leads them as far as it can, hands over what only its client can do, and goes on.

```python
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg, task_variable

release = (
    SequentialWorkflow("release", "Build a version and publish it")
    .argument("version", "What to release")
    .step("notes", resources=["docs://changes/{version}"])
    .step("build", "build", {"version": prompt_arg("version")}, bind="artifact", retryable=True, retries=2, timeout=60)
    .step("approve", execution="manual", question="Publish {version}?", answer={"ok": "boolean"}, proceed_if="ok")
    .step("upload", "upload", {"file": from_step("artifact", "file.path"), "bucket": task_variable("bucket")})
)

tasks = Tasks("sqlite:///tasks.db")
server = MCPServer("lab", extensions=[tasks], middleware=[tasks])
workflows = Workflows([release, SequentialWorkflow.load("nightly.yaml")], tasks)
workflows.attach(server)  # when the tools are declared: checks every workflow against them
```

Each is a prompt. `prompts/get` makes a task, runs the steps that can be run, and answers with messages that anybody
can follow and with `_meta` that a program can (`pmcp_lab.protocol.workflow_wire`). What comes next:

* `tools/call` or `resources/read` with `_meta._task_id` does the step it is for and goes on from there; its tool may
  ask its client, which the tool of a step that the server runs can do on connections of 2025-11-25 only: there is
  `execution="manual"`;
* an answer to the task's question, or a variable that a step waits for, does so too; a client that can't be asked
  answers by the tool `answer_<workflow>`;
* `prompts/get` with `_meta._task_id`, or `await workflows.resume(task_id)`, tries once more what may be tried again,
  and with `_meta["run.pmcp/action"]` leaves a step out or takes everything back;
* `tasks/cancel` ends it, with a `result` as completed.

A manual step is a wall: until a person has agreed, neither it nor anything behind it is listed, run, recorded, or
served to who names the run. A tool that is `guarded` is not to be had outside of it either. When a server's process
ends, another one goes on by itself where the step may run twice, and acts on deadlines.

`definition` and `steps` are what an author writes, `skill_text` how it is told as a skill, `checking` and
`checking_decisions` what is wrong with it, `resolving` where values come from. Without I/O: `progress` is how far one
is, `plan` what comes next, `asking` and `deciding` what is asked and what an answer means, `matching` which step a
client's call is for, `acting` what a person wants done. With it: `run` leads, `led`, `moving` and `persistence` are
what is kept in the task, `performing` and `calling` do what steps do, `continuing` takes the calls of clients.
`wording` has the words, `offering`, `answers` and `extension` are the server's side. How tasks work is in
`pmcp_lab.tasks`; how it looks in JSON, in `pmcp_lab.protocol.workflow_wire`.
"""

from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.extension import Workflows
from pmcp_lab.workflow.steps import (
    Argument,
    Step,
    constant,
    from_step,
    prompt_arg,
    task_variable,
    template,
)

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
