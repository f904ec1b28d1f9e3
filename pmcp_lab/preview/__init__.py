"""`pmcp-lab preview`: a page with the MCP Apps host for people outside Jupyter.

One process previews one server. It serves a page on the loopback interface (`web`), whose two-way wire is a stream of
events down and requests up (`page`); `session` holds the connection to the server, `opening` is a browser
that nobody looks at. Nothing here needs Jupyter.
"""

from pmcp_lab.preview.opening import open_each
from pmcp_lab.preview.session import PreviewSession
from pmcp_lab.preview.web import PreviewServer

__all__ = ["PreviewServer", "PreviewSession", "open_each"]
