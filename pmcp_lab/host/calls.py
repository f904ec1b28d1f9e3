"""What an app asked of its server, kept for the person at the notebook."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("time", "method", "name", "arguments", "result", "error", "is_error", "ms")


class Calls(deque[dict[str, Any]]):
    """The last requests of an app, oldest first: dicts with `time` (ms since the epoch), `method`, `params`, and once
    they are answered `result` or `error`, and `ms`. `df` is the same as a table.

    Args:
        dropped: How many entries went for newer ones, by list (`Kept.dropped`).
    """

    def __init__(self, dropped: Counter[str]) -> None:
        super().__init__()
        self._dropped = dropped

    @property
    def df(self) -> pd.DataFrame:
        """One row for each: `time`, `method`, `name` of the tool (or the URI), `arguments`, `result`, `error` (its
        message), `is_error` (the tool said that it failed), `ms`. What is not answered yet has no result and no `ms`.
        """
        import pandas as pd

        frame = pd.DataFrame([_row(entry) for entry in list(self)], columns=list(COLUMNS))
        frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
        frame["ms"] = frame["ms"].astype("Int64")
        return frame

    @property
    def lost(self) -> str:
        """What is not here any more, in words; empty where all is."""
        gone = self._dropped["calls"]
        return f"{gone:,} older calls are not kept any more: 1,000 are, of at most 32 MB together." if gone else ""

    def _repr_html_(self) -> str:
        table: str = self.df._repr_html_()  # type: ignore[operator]
        return table + (f"<p>{self.lost}</p>" if self.lost else "")

    def __repr__(self) -> str:
        return "\n".join(filter(None, [repr(list(self)), self.lost]))


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    params = entry.get("params")
    params = params if isinstance(params, dict) else {}
    result, error = entry.get("result"), entry.get("error")
    return {
        "time": entry["time"],
        "method": entry.get("method"),
        "name": params.get("name", params.get("uri")),
        "arguments": params.get("arguments"),
        "result": result.get("structuredContent", result.get("content", result)) if isinstance(result, dict) else None,
        "error": error.get("message") if isinstance(error, dict) else None,
        "is_error": isinstance(result, dict) and result.get("isError") is True,
        "ms": entry.get("ms"),
    }
