"""Mock data of a new project: what its server answers to its examples."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from pmcp_lab.apps import RecordedCall, Recording
from pmcp_lab.apps.scaffold import Project
from pmcp_lab.cli.opening import look
from pmcp_lab.client import connect


def record_examples(folder: Path, project: Project) -> str:
    """Start a project's server where it stands, call it with its examples, and write down what it answers.

    Raises:
        LabError: It does not start, or fails.
    """
    # Where the package is found here it must be found there, installed or not.
    path = {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    with connect([sys.executable, "-m", project.package], name=project.name, cwd=folder, env=path) as server:
        calls = []
        for tool, each in project.examples.items():
            for arguments in each:
                began = time.perf_counter()
                result = server.call(tool, arguments)
                ms = round((time.perf_counter() - began) * 1000, 1)
                calls.append(RecordedCall(tool=tool, arguments=arguments, result=result.raw, ms=ms))
        served = look(server)
    recording = Recording(
        server=dict(served.info),
        tools=[dict(tool) for tool in served.tools],
        resources=[dict(page.content) for page in served.pages.values() if page.content is not None],
        calls=calls,
    )
    recording.check()
    return json.dumps(recording.to_dict(), ensure_ascii=False, indent=1) + "\n"
