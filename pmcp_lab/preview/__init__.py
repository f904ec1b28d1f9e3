"""`pmcp-lab preview`: a page with the MCP Apps host for people outside Jupyter.

One process previews one server. It serves a page on the loopback interface (`web`), whose two-way wire is a stream of
events down and requests up (`page`); `session` holds the connection to the server, and `catalogue` says what there is.
`opening` is a browser that nobody looks at, with the apps of `probed` in it. Nothing here needs Jupyter.
"""

from pmcp_lab.preview.opening import Became, Wanted, find_browser, open_each
from pmcp_lab.preview.session import PreviewSession
from pmcp_lab.preview.web import PreviewServer

__all__ = ["Became", "PreviewServer", "PreviewSession", "Wanted", "find_browser", "open_each"]
