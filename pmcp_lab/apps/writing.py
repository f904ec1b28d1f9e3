"""Writing several files so that either all of them are there or none, and what is there stays unless told otherwise."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pmcp_lab.errors import AppError


def write_files(folder: Path, files: Mapping[str, str | bytes], *, force: bool = False) -> list[Path]:
    """Write files below a folder, which is made if need be; other files there stay.

    Args:
        files: Contents by path, relative to the folder.
        force: Replace files that are there already.

    Returns:
        Their paths.

    Raises:
        AppError: A file is there already, or the folder can't be written. Then nothing was written.
    """
    there = [name for name in files if os.path.lexists(folder / name)]
    if there and not force:
        raise AppError(f"{folder / there[0]} exists already; --force replaces it")
    place = folder.absolute()
    above = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not above.is_dir():
        raise AppError(f"{above} is no folder")
    new = above != place
    first = place
    while new and first.parent != above:
        first = first.parent
    try:
        made = Path(tempfile.mkdtemp(prefix=".pmcp-lab-", dir=above))
    except OSError as error:
        raise AppError(f"can't write to {above}: {error.strerror}") from None
    try:
        target = made / first.name / place.relative_to(first) if new else made
        for name, content in files.items():
            file = target / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        if new:
            (made / first.name).rename(first)
        else:
            for name in files:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).replace(place / name)
    except OSError as error:
        raise AppError(f"can't write {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return [folder / name for name in files]
