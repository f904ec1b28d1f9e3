"""Writing MCP Apps: widgets in files, bound to tools and served to every kind of host; recordings of what they call.

```python
from pmcp_lab.apps import Apps, WidgetDir
```
"""

from __future__ import annotations

from pmcp_lab.apps.binding import Apps
from pmcp_lab.apps.hosts import CHATGPT, HOSTS, MCP_UI, STANDARD, HostAdapter
from pmcp_lab.apps.metadata import WidgetCsp, WidgetMetadata
from pmcp_lab.apps.recording import RecordedCall, Recording
from pmcp_lab.apps.replay import replay_server
from pmcp_lab.apps.widget_dir import Widget, WidgetDir, Widgets

__all__ = [
    "CHATGPT",
    "HOSTS",
    "MCP_UI",
    "STANDARD",
    "Apps",
    "HostAdapter",
    "RecordedCall",
    "Recording",
    "Widget",
    "WidgetCsp",
    "WidgetDir",
    "WidgetMetadata",
    "Widgets",
    "replay_server",
]
