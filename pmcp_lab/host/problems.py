"""What went wrong in an app, as its document told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("time", "kind", "message", "source", "line", "column")


def problems(events: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """`HostedApp.errors`, of its events."""
    import pandas as pd

    rows = [row for event in list(events) if (row := _row(event)) is not None]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
    for name in ("line", "column"):
        frame[name] = frame[name].astype("Int64")
    return frame


def _row(event: Mapping[str, Any]) -> dict[str, Any] | None:
    told = event["payload"] if isinstance(event["payload"], dict) else {}
    match event["event"]:
        case "app-error":
            kind, message = "error", str(told.get("message"))
        case "csp-violation":
            kind, message = "blocked", f"{told.get('directive')} blocked {told.get('blocked')}"
        case "reload-failed":
            kind, message = "reload", str(told.get("message"))
        case _:
            return None
    source = told.get("source")
    return {
        "time": event["time"],
        "kind": kind,
        "message": message,
        "source": source if isinstance(source, str) and source else None,
        "line": _counted(told.get("line")),
        "column": _counted(told.get("column")),
    }


def _counted(number: Any) -> int | None:
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**31 else None
