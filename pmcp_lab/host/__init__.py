"""What an MCP Apps host does besides showing the app: its resource, what it may have, what it asks, what it keeps.

Whoever shows apps stands on it: the widgets of `notebook`, and `preview`, which works without Jupyter. What happens
around the frame itself is `js/src/app-view`.
"""

from pmcp_lab.client import now_ms as now
from pmcp_lab.host.app import INIT_TIMEOUT, HostedApp
from pmcp_lab.host.app_opening import open_app
from pmcp_lab.host.bridge import KERNEL, BridgeMode
from pmcp_lab.host.forms import fields, problems
from pmcp_lab.host.model import LiveModel, built, bundle
from pmcp_lab.host.prefetch import read_ahead
from pmcp_lab.host.profile import PROFILES, STANDARD, Profile, profile_of
from pmcp_lab.host.resource import read_app

__all__ = [
    "INIT_TIMEOUT",
    "KERNEL",
    "PROFILES",
    "STANDARD",
    "BridgeMode",
    "HostedApp",
    "LiveModel",
    "Profile",
    "built",
    "bundle",
    "fields",
    "now",
    "open_app",
    "problems",
    "profile_of",
    "read_ahead",
    "read_app",
]
