"""What the rows of a sweep are called, on disk: the index of a DataFrame comes back as it was."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def index_out(index: Any) -> Any:
    """What JSON has of an index: the way by which the same comes back, or else its texts."""
    if isinstance(index, range):
        return None
    for way in (_values, _table):
        with suppress(AttributeError, ValueError, TypeError, OverflowError, NotImplementedError):
            names = [name if isinstance(name, str | int) else None for name in index.names]
            kept = {**way(index), "names": names}
            if _index_of(kept).equals(index):
                return kept
    return {"values": [str(each) for each in index]}


def _values(index: Any) -> dict[str, Any]:
    return {"values": json.loads(json.dumps(index.tolist()))}


def _table(index: Any) -> dict[str, Any]:
    levels = [str(level) for level in range(index.nlevels)]
    frame = index.to_frame(index=False, name=levels if len(levels) > 1 else levels[0])
    return {"table": frame.to_json(orient="table", index=False, date_unit="ns", double_precision=15)}


def index_in(kept: Any, rows: int) -> Any:
    """The index again; numbers where it can't be read, or has not that many rows."""
    if isinstance(kept, Mapping):
        with suppress(ValueError, TypeError, KeyError, NotImplementedError):
            index = _index_of(kept)
            if len(index) == rows:
                return index
    return range(rows)


def _index_of(kept: Mapping[str, Any]) -> Any:
    import pandas as pd

    if "values" in kept:
        index: Any = pd.Index(kept["values"])
    else:
        frame = pd.read_json(io.StringIO(kept["table"]), orient="table", precise_float=True)
        levels = [frame[name] for name in frame.columns]
        index = pd.Index(levels[0]) if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)
    index.names = kept.get("names") or [None]
    return index
