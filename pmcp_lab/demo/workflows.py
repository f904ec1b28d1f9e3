"""The demo server's workflow: five steps that pause twice, once for what only the client knows, once for a person."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg, template

REPORT = (
    SequentialWorkflow("sales_report", "Write the sales report of a region and send it", title="Sales report")
    .argument("region", "Which region: north, south, east or west")
    .argument("months", "How many months to look back", required=False, type="integer")
    .step("read the rules", resources=["demo://rules/{region}"])
    .step(
        "fetch the figures",
        "fetch_sales",
        {"region": prompt_arg("region"), "months": prompt_arg("months")},
        bind="sales",
        retryable=True,
        retries=2,
        timeout=30,
    )
    .step(
        "write the summary",
        "save_summary",
        {"region": prompt_arg("region"), "total": from_step("sales", "total")},
        bind="summary",
        guidance="Say in two sentences how sales in {region} went: the figures are above. That is the argument `text`.",
    )
    .step(
        "let somebody approve",
        execution="manual",
        question="Send the report on {region} ({total} in all)?",
        values={"total": from_step("sales", "total")},
        answer={"to": {"type": "string", "title": "To whom?", "enum": ["team", "board"], "default": "team"}},
        bind="approval",
    )
    .step(
        "send the report",
        "send_report",
        {
            "summary": from_step("summary", "text"),
            "to": from_step("approval", "to"),
            "subject": template("Sales in {region}"),
        },
        bind="sent",
    )
)


class Sales(BaseModel):
    """What a region sold."""

    region: str
    months: list[int]
    total: int


class Summary(BaseModel):
    """What somebody made of it."""

    region: str
    text: str


class Sent(BaseModel):
    """What was sent, and to whom."""

    to: str
    subject: str
    characters: int


def add_workflows(server: MCPServer[Any], tasks: Tasks) -> Workflows:
    """Put the workflow and what it takes on a server."""

    @server.resource("demo://rules/{region}", title="Rules", description="How a report on a region is written.")
    def rules(region: str) -> str:
        return f"Reports on {region} name the total, compare the last two months, and stay below 60 words."

    @server.tool(title="Fetch sales", description="The sales of a region, month by month.")
    def fetch_sales(
        region: Annotated[str, Field(description="north, south, east or west")],
        months: Annotated[int, Field(ge=1, le=24, description="How many, the latest last")] = 3,
    ) -> Sales:
        figures = [100 + (37 * sum(map(ord, region)) + 53 * month) % 90 for month in range(months)]
        return Sales(region=region, months=figures, total=sum(figures))

    @server.tool(title="Save a summary", description="Keep the summary of a report.")
    def save_summary(
        region: str, total: int, text: Annotated[str, Field(min_length=1, description="Two sentences")]
    ) -> Summary:
        return Summary(region=region, text=f"{text} (Total: {total}.)")

    @server.tool(title="Send a report", description="Pretend to send a report.")
    def send_report(summary: str, to: str, subject: str) -> Sent:
        return Sent(to=to, subject=subject, characters=len(summary))

    workflows = Workflows([REPORT], tasks)
    workflows.attach(server)
    return workflows
