"""fastmcp as a server of the skills in a folder, over stdio: `fastmcp_skills_server.py FOLDER`."""

import sys

from fastmcp import FastMCP
from fastmcp.skills.provider import SkillsDirectoryProvider

server = FastMCP("fastmcp-skills", providers=[SkillsDirectoryProvider(sys.argv[1], reload=True)])

if __name__ == "__main__":
    server.run(show_banner=False)
