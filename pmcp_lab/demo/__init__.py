"""The bundled demo server: a quick tool, a long one, one that asks, one that fails, a workflow, skills, and apps.

`build()` makes the server; `pmcp-lab demo` runs it. `wave.html` is the small app; `chess`, `map` and `dataviz` are
whole ones, each in a folder that stands by itself. Each folder of `skills` is a skill.
"""

from pmcp_lab.demo.server import build

__all__ = ["build"]
