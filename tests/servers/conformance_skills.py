"""Skills for the conformance suite and for peers: each thing that a client may stumble over, on several pages."""

from __future__ import annotations

from pmcp_lab.server import Skill, Skills
from pmcp_lab.workflow import SequentialWorkflow, prompt_arg
from tests.unit.skill_folders import TRAPS, skill_md

REFUNDS = Skill(
    {path.removeprefix("refunds/"): content for path, content in TRAPS.items() if path.startswith("refunds/")}
    | {f"references/{number:02}.md": f"Rule {number}\n" for number in range(25)}
)
WORKFLOW = (
    SequentialWorkflow("greet_somebody", 'Greet "somebody": politely')
    .argument("name", "Who")
    .step("greet", "test_simple_text", {"name": prompt_arg("name")})
)

skills = (
    Skills(REFUNDS, prefix="acme", page_size=2, ttl="1m", cache_scope="public")
    .add(WORKFLOW)
    .add(
        Skill({"SKILL.md": b"\xef\xbb\xbf" + skill_md("invoices").replace("\n", "\r\n").encode()}),
        Skill({"SKILL.md": skill_md("typed", "count: 12", 'text: "yes"', "list: [a, 1.5, true, null]")}),
        prefix="billing",
    )
)
"""Of five skills, one in another; the first has folders, and a folder more files than a page."""
