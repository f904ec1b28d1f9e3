"""Our client as the conformance suite starts it: `skills_client MODE URL`. Looks at the skills, and reads all but where
the scenario is that nothing is fetched ahead. Ends with status 1 at the first file that is not what the entry says.
"""

from __future__ import annotations

import os
import sys

import pmcp_lab as lab
from pmcp_lab.errors import SkillUnverified


def main() -> int:
    with lab.connect(sys.argv[2], mode=sys.argv[1]) as server:
        skills = server.skills
        print(skills.df.to_string())
        if os.environ["MCP_CONFORMANCE_SCENARIO"].endswith("no-prefetch"):
            return 0
        for skill in skills.values():
            try:
                for path in skill.files:
                    skill.read(path)
            except SkillUnverified as refused:
                print(refused.reason, refused)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
