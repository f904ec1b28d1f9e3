"""How much each widget weighs on the wire."""

from __future__ import annotations

import gzip
from pathlib import Path


def gzip_size(bundle: Path) -> int:
    return len(gzip.compress(bundle.read_bytes(), mtime=0))
