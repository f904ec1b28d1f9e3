"""Workflows that a server leads: a run, its steps as a table, and the runs that wait for somebody."""

from pmcp_lab.client.workflows.driver import Driver
from pmcp_lab.client.workflows.paused_runs import PausedRuns, Workflows
from pmcp_lab.client.workflows.steps import status_of
from pmcp_lab.client.workflows.workflow_run import WorkflowRun, driver_of

__all__ = [
    "Driver",
    "PausedRuns",
    "WorkflowRun",
    "Workflows",
    "driver_of",
    "status_of",
]
