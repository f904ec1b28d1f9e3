"""A workflow told as a skill: the text that a model gets, to the byte, and that every workflow makes a skill."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.errors import SkillInvalid
from pmcp_lab.protocol.front_matter import field_problems, read_front_matter
from pmcp_lab.protocol.served_front_matter import served_problems
from pmcp_lab.server import Skills
from pmcp_lab.workflow import SequentialWorkflow, constant, from_step, prompt_arg, task_variable, template
from tests.servers import environment

GOLDEN = Path(__file__).with_name("release.SKILL.md")
"""What this file prints when it is run as a module; after a change that is meant, write it there."""

RELEASE = (
    SequentialWorkflow("Release_train 2", 'Build a "version", say what changed\nand publish it', title="Release")
    .instruction("Be careful with {version}:\nit can't be taken back.")
    .instruction("Tell nobody before.")
    .argument("version", "What to release")
    .argument("copies", required=False, type="integer")
    .step("read the notes", resources=["docs://changes/{version}", "docs://{page}"], values={"page": constant("intro")})
    .step(
        "build",
        "build",
        {
            "version": prompt_arg("version"),
            "copies": prompt_arg("copies"),
            "flags": {"b": [1, "ä"], "a": None},
            "bucket": task_variable("bucket"),
            "key": task_variable("secrets", "key.0"),
        },
        bind="artifact",
        guidance="The version is\n{version}.",
        optional=True,
        retryable=True,
        retries=2,
        timeout=60,
    )
    .step("measure", "measure", execution="client", bind="size")
    .step(
        "approve",
        execution="manual",
        question="Publish {version} of {size} bytes?",
        values={"size": from_step("size")},
        answer={"ok": "boolean", "where": {"type": "string", "enum": ["team", "all"]}, "why": {}},
        proceed_if={"ok": True, "where": ["team", "all"]},
        on_no="fail",
        bind="approval",
    )
    .step("ask", execution="manual", question="Sure?", on_no="skip")
    .step(
        "upload",
        "upload",
        {
            "file": from_step("artifact", "file.path"),
            "to": from_step("approval"),
            "subject": template("{version} is out"),
        },
        execution="server",
        guarded=True,
    )
)


def text_of(workflow: SequentialWorkflow) -> str:
    return workflow.as_skill().files["SKILL.md"].decode()


def test_the_text_is_the_golden_one() -> None:
    assert text_of(RELEASE) == GOLDEN.read_text(encoding="utf-8")


def test_the_same_bytes_in_every_process() -> None:
    """Another hash seed, another process, a copy that went through JSON."""
    own = hashlib.sha256(text_of(RELEASE).encode()).hexdigest()
    again = SequentialWorkflow.parse(RELEASE.model_dump_json())
    assert text_of(again) == text_of(RELEASE)
    for seed in ("1", "2"):
        printed = subprocess.run(
            [sys.executable, "-m", "tests.unit.workflow.test_workflow_skill"],
            cwd=Path(__file__).parents[3],
            env=environment(PYTHONHASHSEED=seed, PYTHONIOENCODING="utf-8"),
            capture_output=True,
            check=True,
        ).stdout.replace(os.linesep.encode(), b"\n")
        assert hashlib.sha256(printed).hexdigest() == own


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("sales_report", "sales-report"),
        ("  A -- B! ", "a-b"),
        ("é", f"workflow-{hashlib.sha256('é'.encode()).hexdigest()[:8]}"),
        ("", f"workflow-{hashlib.sha256(b'').hexdigest()[:8]}"),
        ("a" * 63 + "_b", "a" * 63),
        ("a" * 70, "a" * 64),
    ],
)
def test_names(name: str, slug: str) -> None:
    skill = SequentialWorkflow(name, "Does it").as_skill()
    assert skill.name == slug
    assert [entry.uri for entry in Skills(SequentialWorkflow(name, "Does it"), prefix="flows").entries()] == [
        f"skill://flows/{slug}/SKILL.md"
    ]


@pytest.mark.parametrize("description", ["", " \n", "d" * 1025])
def test_what_no_skill_can_be_made_of(description: str) -> None:
    with pytest.raises(SkillInvalid, match=r"workflow 'flow' can't be served:\n.*description"):
        SequentialWorkflow("flow", description).as_skill()


def test_two_workflows_of_one_name() -> None:
    with pytest.raises(SkillInvalid, match="another prefix"):
        Skills(SequentialWorkflow("a b", "one"), SequentialWorkflow("a_b", "two"))


@given(st.text(), st.text(min_size=1, max_size=200), st.text())
def test_every_reader_reads_what_was_meant(name: str, description: str, title: str) -> None:
    if not description.strip() or any(0xD800 <= ord(character) < 0xE000 for character in name + description + title):
        return
    read = read_front_matter(text_of(SequentialWorkflow(name, description, title=title)))
    assert read.fields["description"] == description
    assert served_problems(read) == field_problems(read.fields) == []


if __name__ == "__main__":
    sys.stdout.buffer.write(text_of(RELEASE).encode())
