"""The skills of a server: listed at first use, and read a file at a time, each checked against its skill's entry.

Nothing is fetched ahead, nothing is written to any folder, and nothing in a skill is run or granted (SEP-2640). What
is on the wire is in `protocol.skills`.
"""

from pmcp_lab.client.skills.content import SkillContent
from pmcp_lab.client.skills.listing import Skills
from pmcp_lab.client.skills.skill import Skill, SkillChanges, SkillFiles
from pmcp_lab.client.skills.source import SetAside, SkillSource

__all__ = ["SetAside", "Skill", "SkillChanges", "SkillContent", "SkillFiles", "SkillSource", "Skills"]
