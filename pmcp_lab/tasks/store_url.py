"""From a URL to a store: which backend answers to which scheme."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple, cast

from pmcp_lab.errors import LabError, MissingExtra, StoreError
from pmcp_lab.protocol.address import betrays, scrubbed, shown
from pmcp_lab.tasks.backends import Backend
from pmcp_lab.tasks.limits import Limits
from pmcp_lab.tasks.store import TaskStore


class _Scheme(NamedTuple):
    module: str
    """Has `open_url(url: str) -> Backend`."""
    extra: str | None = None
    """What to install when one of the module's own imports is missing."""


SCHEMES: Final = {
    "memory": _Scheme("pmcp_lab.tasks.backends.memory"),
    "sqlite": _Scheme("pmcp_lab.tasks.backends.sqlite"),
    "redis": _Scheme("pmcp_lab.tasks.backends.redis", "redis"),
    "rediss": _Scheme("pmcp_lab.tasks.backends.redis", "redis"),
    "redis+cluster": _Scheme("pmcp_lab.tasks.backends.redis", "redis"),
    "rediss+cluster": _Scheme("pmcp_lab.tasks.backends.redis", "redis"),
    "dynamodb": _Scheme("pmcp_lab.tasks.backends.dynamodb", "dynamodb"),
}

ENTRY_POINTS: Final = "pmcp_lab.stores"
"""Entry points of this group add schemes: the name is the scheme, the object a function from URL to backend."""


def open_store(url: str, limits: Limits | None = None) -> TaskStore:
    """A store by URL: `memory://`, `sqlite:///relative.db`, `sqlite:////absolute.db`, `redis://…`, `dynamodb://…`.

    Raises:
        MissingExtra: What the backend needs is not installed.
        StoreError: The scheme is unknown, or what the URL names can't be opened.
    """
    return TaskStore(open_backend(url), limits)


def open_backend(url: str) -> Backend:
    """The backend behind a store's URL. Raises as `open_store`."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in SCHEMES:
        return _opener(scheme)(url)
    found = tuple(entry_points(group=ENTRY_POINTS, name=scheme)) if scheme else ()
    if found:
        return _open_other(found[0], url)
    others = sorted(entry_points(group=ENTRY_POINTS).names)
    known = ", ".join(f"{name}://" for name in (*SCHEMES, *others))
    address = shown(url)
    named, slashes, _ = address.partition("://")
    what = f"there is no store for {named}:// URLs" if slashes else f"{address!r} is not a store URL"
    raise StoreError(f"{what}; use one of {known}")


def _opener(scheme: str) -> Callable[[str], Backend]:
    module, extra = SCHEMES[scheme]
    try:
        return cast(Callable[[str], Backend], importlib.import_module(module).open_url)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise StoreError(f"{scheme}:// stores are not available in this version of pmcp_lab") from None
        if extra is None:
            raise
        raise MissingExtra(f"{scheme}://", extra) from None


def _open_other(point: EntryPoint, url: str) -> Backend:
    """A backend of another package. What that says of the URL may have a password in it."""
    try:
        return cast(Callable[[str], Backend], point.load())(url)
    except Exception as error:
        if not betrays(error, url):
            raise
        what = scrubbed(str(error), url) if isinstance(error, LabError) else type(error).__name__
    # Not in the handler: a traceback would tell of the first one too.
    raise StoreError(f"the store at {shown(url)} can't be opened: {what}")
