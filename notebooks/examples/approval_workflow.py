"""A workflow that a person has to agree to: the server builds, asks, and publishes only after a yes.

python approval_workflow.py
"""

from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg

tasks = Tasks("memory://")
server = MCPServer("releases", extensions=[tasks], middleware=[tasks], log_level="ERROR")
published: list[str] = []


@server.tool()
def build(version: str) -> dict[str, str]:
    """Build a version."""
    return {"file": f"lab-{version}.tar.gz"}


@server.tool()
def upload(file: str) -> str:
    """Publish a file."""
    published.append(file)
    return f"https://example.com/{file}"


release = (
    SequentialWorkflow("release", "Build a version and publish it")
    .argument("version", "What to release")
    .step("build", "build", {"version": prompt_arg("version")}, bind="artifact", retryable=True)
    .step("approve", execution="manual", question="Publish {version}?", answer={"ok": "boolean"}, proceed_if="ok")
    .step("upload", "upload", {"file": from_step("artifact", "file")}, bind="where", guarded=True)
)
Workflows([release], tasks).attach(server)


def main() -> list[str]:
    releases = lab.connect(server, name="releases")
    refused = releases.workflow("release", version="1.2-beta")
    refused.answer({"ok": False})
    print(refused.wait(timeout=30).status, published)
    agreed = releases.workflow("release", version="1.2")
    agreed.answer({"ok": True})
    print(agreed.wait(timeout=30).status, published)
    releases.close()
    return published


if __name__ == "__main__":
    main()
