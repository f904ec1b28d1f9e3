"""Skills on an `mcp` server, for both generations: `MCPServer(extensions=[skills], middleware=[skills])`.

`skill` is one skill and what is wrong with it, `folder` reads skills from disk and looks whether they changed,
`library` is what is served now, `extension` the wire. How it looks in JSON is in `pmcp_lab.protocol.skills`.
"""

from pmcp_lab.server.skills.extension import Skills
from pmcp_lab.server.skills.skill import Skill

__all__ = ["Skill", "Skills"]
