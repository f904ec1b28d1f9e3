"""What an author writes: both forms say the same, everything wrong is found at once, values are never looked into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.errors import LabError, WorkflowInvalid
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, constant, from_step, prompt_arg, task_variable, template
from pmcp_lab.workflow.checking import ToolSchemas, check
from pmcp_lab.workflow.resolving import Scope, Unresolved, as_text, dig, fill, fill_known, parse, value
from pmcp_lab.workflow.steps import Step
from tests.unit.flow import Flow

YAML = """
name: release
title: Release
description: Build a version and publish it
ttl: 1h
arguments:
  - {name: version, description: What to release}
  - {name: copies, type: integer, required: false}
instructions: ["Be careful with {version}"]
steps:
  - name: notes
    resources: ["docs://{version}/{page}"]
    values: {page: {constant: intro}}
  - name: build
    tool: build
    arguments:
      version: {prompt: version}
      copies: {prompt: copies}
      flags: [fast, {prompt: raw}]
    bind: artifact
    undo: {tool: remove, arguments: {path: {output: artifact, field: path}}}
    retryable: true
    retries: 2
    timeout: 60
  - name: approve
    execution: manual
    question: Publish {version}?
    answer: {ok: boolean, where: {type: string, enum: [team, world]}}
    bind: said
    proceed_if: {ok: true, where: [team, world]}
    on_no: skip
    within: 30m
    otherwise: {ok: false, where: team}
  - name: upload
    tool: upload
    arguments:
      file: {output: artifact, field: files.0.path}
      bucket: {variable: bucket}
      note: {template: "{version} of {size} bytes"}
      loud: false
    values:
      size: {output: artifact, field: size}
    guidance: Ask {where}
    guarded: true
    optional: true
""".replace("Ask {where}", "Ask for {version}")


def fluent() -> SequentialWorkflow:
    return (
        SequentialWorkflow("release", "Build a version and publish it", title="Release", ttl="1h")
        .argument("version", "What to release")
        .argument("copies", type="integer", required=False)
        .instruction("Be careful with {version}")
        .step("notes", resources=["docs://{version}/{page}"], values={"page": "intro"})
        .step(
            "build",
            "build",
            {"version": prompt_arg("version"), "copies": prompt_arg("copies"), "flags": ["fast", {"prompt": "raw"}]},
            bind="artifact",
            undo=("remove", {"path": from_step("artifact", "path")}),
            retryable=True,
            retries=2,
            timeout=60,
        )
        .step(
            "approve",
            execution="manual",
            question="Publish {version}?",
            answer={"ok": "boolean", "where": {"type": "string", "enum": ["team", "world"]}},
            bind="said",
            proceed_if={"ok": True, "where": ["team", "world"]},
            on_no="skip",
            within="30m",
            otherwise={"ok": False, "where": "team"},
        )
        .step(
            "upload",
            "upload",
            {
                "file": from_step("artifact", "files.0.path"),
                "bucket": task_variable("bucket"),
                "note": template("{version} of {size} bytes"),
                "loud": False,
            },
            values={"size": from_step("artifact", "size")},
            guidance="Ask for {version}",
            guarded=True,
            optional=True,
        )
    )


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    assert SequentialWorkflow.parse(YAML) == fluent()
    check(fluent())
    file = tmp_path / "release.json"
    file.write_text(json.dumps(fluent().model_dump(mode="json", exclude_defaults=True)))
    assert SequentialWorkflow.load(file) == fluent()


def test_a_file_that_is_no_workflow_is_refused_with_every_place() -> None:
    text = "name: w\nsteps:\n- {name: a, tool: t, retries: many, colour: red}\n- {name: b, arguments: {x: {prompt: 1}}}"
    with pytest.raises(WorkflowInvalid) as refused:
        SequentialWorkflow.parse(text)
    said = str(refused.value)
    for place in ("step 'a', retries", "step 'a', colour", "step 'b', arguments, x"):
        assert place in said
    assert "PromptArg" not in said
    for text, why in (("a: [", "is not YAML"), ("- 1", "is not an object")):
        with pytest.raises(WorkflowInvalid, match=why):
            SequentialWorkflow.parse(text)


TOOLS = {
    "make": ToolSchemas(
        {
            "properties": {"n": {"type": "integer"}, "text": {"type": "string"}, "kind": {"enum": ["a", "b"]}},
            "required": ["n"],
        },
        {"properties": {"path": {"type": "string"}, "parts": {"type": "array", "items": {"type": "integer"}}}},
    ),
    "count": ToolSchemas({"properties": {"n": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}, None),
    "open": ToolSchemas(
        {"properties": {}, "additionalProperties": True}, {"properties": {"result": {"type": "string"}}}
    ),
}


def flow(**step: Any) -> SequentialWorkflow:
    return SequentialWorkflow("w", "W").step("first", "make", {"n": 1}, bind="made").step("s", **step)


def manual(**step: Any) -> SequentialWorkflow:
    return flow(execution="manual", question="Sure?", **step)


WRONG: list[tuple[SequentialWorkflow, str, str]] = [
    (SequentialWorkflow("w"), "steps", "there are none"),
    (flow(tool="make").step("s", "make"), "step 's'", "2 of that name"),
    (flow(tool="make", bind="made"), "binding 'made'", "2 of that name"),
    (flow(tool="make").argument("a").argument("a"), "argument 'a'", "2 of that name"),
    (flow(tool="mkae"), "step 's', tool", "no tool 'mkae'. Did you mean 'make'"),
    (flow(tool="make", arguments={"m": 1}), "step 's', arguments 'm'", "takes no 'm'"),
    (flow(tool="make", arguments={"n": "x"}), "step 's', arguments 'n'", "does not fit"),
    (flow(tool="make", arguments={"kind": "c"}), "step 's', arguments 'kind'", "does not fit"),
    (flow(tool="make", arguments={"n": template("1")}), "step 's', arguments 'n'", "wants integer, and this is string"),
    (flow(tool="make", arguments={"n": from_step("made", "path")}), "step 's', arguments 'n'", "this is string"),
    (flow(tool="make", arguments={"n": from_step("made", "paht")}), "step 's', arguments 'n'", "no field 'paht'"),
    (flow(tool="make", arguments={"n": from_step("mad")}), "step 's', arguments 'n'", "no step binds 'mad'"),
    (flow(tool="make", bind="b", arguments={"n": from_step("b")}), "step 's', arguments 'n'", "this step or a later"),
    (flow(tool="make", arguments={"n": prompt_arg("x")}), "step 's', arguments 'n'", "no argument of the prompt"),
    (flow(tool="make", arguments={"n": task_variable("_workflow.progress")}), "step 's'", "workflow's own"),
    (flow(tool="make", arguments={"n": task_variable("mcp.x")}), "step 's'", "reserved"),
    (flow(tool="make", guidance="{who}"), "step 's', guidance", "neither an argument"),
    (flow(tool="make", arguments={"text": template("{who}")}), "step 's', arguments 'text'", "neither an argument"),
    (flow(tool="make", values={"x": 1}), "step 's', values 'x'", "no text of the step uses it"),
    (flow(), "step 's', resources", "at least one resource"),
    (flow(resources=["x://y"], arguments={"a": 1}), "step 's', arguments", "cannot have tool arguments"),
    (flow(resources=["x://y"], bind="b"), "step 's', bind", "cannot have output bindings"),
    (flow(resources=["nowhere"]), "step 's', resources", "no URI"),
    (flow(resources=["x://{who}"]), "step 's', resources", "neither an argument"),
    (flow(execution="manual"), "step 's', question", "has to ask"),
    *(
        (flow(tool="make", **{name: given}), f"step 's', {name}", "only a step with execution='manual' asks")
        for name, given in (
            ("proceed_if", "ok"),
            ("on_no", "fail"),
            ("within", "1h"),
            ("otherwise", "stop"),
        )
    ),
    (manual(answer={"ok": "boolean"}), "step 's', answer 'ok'", "nothing reads it"),
    (
        manual(answer={"ok": "boolean"}, bind="said").step("t", "make", {"n": from_step("said", "n")}),
        "step 's', answer 'ok'",
        "nothing reads it",
    ),
    (manual(proceed_if="ok"), "step 's', proceed_if", "the answer has no 'ok'"),
    (manual(answer={"ok": "boolean"}, proceed_if={"ok": "yes"}), "step 's', proceed_if", "'ok' is never 'yes'"),
    (
        manual(answer={"to": {"type": "string", "enum": ["a"]}}, proceed_if={"to": ["a", "b"]}),
        "step 's', proceed_if",
        "'to' is never 'b'",
    ),
    (manual(answer={"to": "string"}, proceed_if={"to": []}), "step 's', proceed_if", "no value of 'to' would do"),
    (manual(within="1h"), "step 's', within", "has no outcome"),
    (manual(within="0s", otherwise="stop"), "step 's', within", "within no time"),
    (manual(otherwise="stop"), "step 's', otherwise", "say within="),
    (
        manual(answer={"ok": "boolean"}, proceed_if="ok", within="1h", otherwise={"ok": "yes"}),
        "step 's', otherwise",
        "does not fit the form of the answer: ok: 'yes'",
    ),
    (
        manual(answer={"ok": "boolean"}, proceed_if="ok", within="1h", otherwise={}),
        "step 's', otherwise",
        "'ok' is a required property",
    ),
    (manual(optional=True), "step 's', optional", "nothing goes past a person"),
    (manual(guarded=True), "step 's', guarded", "no tool to be guarded"),
    (manual(undo="make"), "step 's', undo", "has done nothing"),
    (flow(tool="make", undo="mkae"), "step 's', undo", "no tool 'mkae'. Did you mean 'make'"),
    (flow(tool="make", undo="make"), "step 's', undo", "needs n"),
    (flow(tool="make", undo=("make", {"n": 1, "m": 2})), "step 's', undo 'm'", "takes no 'm'"),
    (flow(tool="make", undo=("make", {"n": from_step("made", "path")})), "step 's', undo 'n'", "this is string"),
    (flow(tool="make", undo=("make", {"n": from_step("gone")})), "step 's', undo 'n'", "no step binds 'gone'"),
    (
        flow(tool="make", undo=("make", {"n": from_step("later")})).step("t", "count", bind="later"),
        "step 's', undo 'n'",
        "bound by this step or a later",
    ),
    (flow(tool="make", question="?"), "step 's', question", "only a step with"),
    (flow(execution="manual", question="?", answer={"a": "object"}), "step 's', answer 'a'", "no type of a form"),
    (
        flow(tool="make", execution="manual", question="?", answer={"n": "string"}),
        "step 's', answer 'n'",
        "wants integer",
    ),
    (flow(tool="make", retries=1), "step 's', retries", "not retryable"),
    (flow(tool="make", execution="client", timeout=1), "step 's', execution", "the client runs"),
    (flow(tool="make").model_copy(update={"ttl": "soon"}), "ttl", "not a duration"),
    (flow(tool="make").instruction("{who}"), "instructions", "no argument"),
]


@pytest.mark.parametrize(("workflow", "where", "what"), WRONG, ids=[f"{where}: {what}" for _, where, what in WRONG])
def test_what_is_wrong_is_found_with_its_place(workflow: SequentialWorkflow, where: str, what: str) -> None:
    with pytest.raises(WorkflowInvalid) as refused:
        check(workflow, TOOLS)
    assert [problem for problem in refused.value.problems if problem[0].startswith(where) and what in problem[1]], (
        refused.value.problems
    )


def test_everything_is_found_at_once() -> None:
    workflow = (
        SequentialWorkflow("w")
        .argument("unused")
        .step("a", "nope", {"x": from_step("b")})
        .step("a", "make", {"n": "x", "y": 1}, guidance="{z}", retries=2)
    )
    with pytest.raises(WorkflowInvalid) as refused:
        check(workflow, TOOLS)
    assert len(refused.value.problems) == 7
    other = SequentialWorkflow("v")
    with pytest.raises(WorkflowInvalid, match="workflow 'w, v' has") as both:
        Workflows([workflow, other], Tasks("memory://"))
    assert {where.split(",")[0] for where, _ in both.value.problems} == {"w", "v"}


@pytest.mark.parametrize(
    "used",
    [
        manual(answer={"ok": "boolean"}, proceed_if="ok"),
        manual(answer={"ok": "boolean"}, bind="said").step("t", "open", {"n": from_step("said", "ok")}),
        manual(answer={"ok": "boolean"}, bind="said").step("t", "open", {"n": from_step("said")}),
        manual(answer={"ok": "boolean"}, bind="said").step(
            "t", "make", {"n": 1}, guidance="{ok}", values={"ok": from_step("said", "ok")}
        ),
        manual(tool="open", answer={"ok": "boolean"}),
        # What only decides need not be one of the tool's arguments.
        manual(tool="make", answer={"ok": "boolean", "n": "integer"}, proceed_if="ok"),
        # What a step gave is there when it is taken back.
        flow(tool="make", bind="own", undo=("make", {"n": from_step("own", "parts.0")})),
    ],
)
def test_an_answer_that_something_reads_is_no_problem(used: SequentialWorkflow) -> None:
    assert check(used, TOOLS) == []


def test_an_argument_that_nothing_uses_is_only_warned_of() -> None:
    workflow = flow(tool="make").argument("spare")
    assert check(workflow, TOOLS) == [("argument 'spare'", "no step uses it")]
    with pytest.warns(UserWarning, match="workflow 'w', argument 'spare': no step uses it"):
        Workflows([workflow], Tasks("memory://"))


def test_a_deadline_is_a_duration() -> None:
    with pytest.raises(WorkflowInvalid, match="step 's', within: .*'soon' is not a duration"):
        manual(within="soon", otherwise="stop")


def test_a_deadline_lies_within_the_life_of_its_task() -> None:
    late = manual(within="2d", otherwise="stop")
    with pytest.raises(WorkflowInvalid, match=r"step 's', within: the task is kept for 3600 s only"):
        Workflows([late], Tasks("memory://"))
    Workflows([late.model_copy(update={"ttl": "3d"})], Tasks("memory://"))


@pytest.mark.parametrize(
    "value", [{"template": "{x}", "title": "t"}, {"output": "x", "title": "y"}, {"prompt": "a", "field": "b"}, {}]
)
def test_an_object_that_only_resembles_a_source_is_a_constant(value: dict[str, Any]) -> None:
    step = flow(tool="open", arguments={"cfg": value}).steps[1]
    assert step.arguments["cfg"] == constant(value)


def test_what_can_not_be_known_is_no_problem() -> None:
    check(
        SequentialWorkflow("w")
        .argument("n", type="integer")
        .argument("m", type="number")
        .step("a", "count", {"n": prompt_arg("n")}, bind="counted")
        .step("b", "count", {"n": from_step("counted", "any.thing")})
        .step("c", "open", {"whatever": task_variable("x")}, bind="text")
        .step("d", "make", {"n": prompt_arg("m"), "text": from_step("text")}, bind="made")
        .step("e", "make", {"n": from_step("made", "parts.0")})
        .step("f", "make"),
        TOOLS,
    )


def test_a_server_refuses_workflows_that_do_not_fit_it() -> None:
    def make(n: int) -> int:
        return n

    with pytest.raises(WorkflowInvalid, match="wants integer, and this is string"):
        Flow(SequentialWorkflow("w").argument("n").step("a", "make", {"n": prompt_arg("n")}), make)
    good = SequentialWorkflow("w").step("a", "make", {"n": 1})
    fits = Flow(good, make)
    with pytest.raises(LabError, match="already"):
        fits.workflows.attach(fits.server)
    with pytest.raises(LabError, match="has a prompt 'w' already"):
        Workflows([good], Tasks("memory://")).attach(fits.server)


# --- values ---

SCOPE = Scope(
    SequentialWorkflow("w").argument("a").argument("n", type="integer").argument("o", required=False),
    {"a": "{b} {a}", "n": "3"},
    {"out": {"list": [{"x": 1}, None], "0": "zero", "deep": {"1": "one"}}},
    {"v": {"k": [1, 2]}},
)
STEP = Step(name="s", values={"b": constant("{a}"), "size": from_step("out", "list")})


def test_text_is_filled_in_one_pass() -> None:
    assert value(template("{a} {b} {n}"), STEP, SCOPE) == "{b} {a} {a} 3"
    assert value(template("{size}"), STEP, SCOPE) == '[{"x":1},null]'
    assert value(constant("{a}"), STEP, SCOPE) == "{a}"
    # An optional argument that was not given is nothing.
    assert fill_known("{a} {o} {unknown}", STEP, SCOPE) == "{b} {a}  {unknown}"
    assert value(template("{o}!"), STEP, SCOPE) == "!"
    assert value(template('{"n": 1}'), STEP, SCOPE) == '{"n": 1}'


@given(st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.text(), max_size=4))
def test_no_value_is_ever_looked_into(values: dict[str, str]) -> None:
    text = "|".join(f"{{{name}}}" for name in values)
    assert fill(text, values) == "|".join(values.values())


def test_values_can_not_break_out_of_a_uri() -> None:
    assert fill("docs://{a}/x", {"a": "../b?c#d e"}, uri=True) == "docs://..%2Fb%3Fc%23d%20e/x"
    assert fill("file:///{+path}", {"path": "a/b c"}, uri=True) == "file:///a/b%20c"


@pytest.mark.parametrize(
    ("path", "found"),
    [("0", "zero"), ("list.0.x", 1), ("list.1", None), ("deep.1", "one"), (None, SCOPE.outputs["out"])],
)
def test_a_path_finds_keys_before_indexes(path: str | None, found: Any) -> None:
    assert dig(SCOPE.outputs["out"], path, "it") == found


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nope", "not found"),
        ("list.2", "out of bounds, there are 2"),
        ("list.-1", "no index"),
        ("0.x", "Cannot index into non-array"),
        ("list.x", "no index"),
    ],
)
def test_a_path_that_leads_nowhere_says_where(path: str, why: str) -> None:
    with pytest.raises(Unresolved, match=why):
        dig(SCOPE.outputs["out"], path, "it")


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("3", "integer", 3),
        (" 3 ", "integer", 3),
        ("3.5", "number", 3.5),
        ("YES", "boolean", True),
        ("0", "boolean", False),
        ("3", "string", "3"),
    ],
)
def test_prompt_arguments_are_read_as_their_type(text: str, kind: Any, found: Any) -> None:
    assert parse(text, kind) == found
    assert type(parse(text, kind)) is type(found)


@pytest.mark.parametrize(("text", "kind"), [("3.5", "integer"), ("x", "number"), ("nan", "number"), ("2", "boolean")])
def test_what_is_no_value_of_the_type_is_refused(text: str, kind: Any) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse(text, kind)


def test_variables_and_outputs_have_fields() -> None:
    assert value(task_variable("v", "k.1"), STEP, SCOPE) == 2
    assert value(from_step("out", "list.0.x"), STEP, SCOPE) == 1
    assert value(prompt_arg("n"), STEP, SCOPE) == 3
    assert as_text(True) == "true"
    for source, why in ((task_variable("x"), "is not set"), (from_step("x"), "no step has given")):
        with pytest.raises(Unresolved, match=why):
            value(source, STEP, SCOPE)
