"""Whose task it is: a structural key, so that no character in a name can reach another owner's tasks."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

Owner = tuple[str, ...]
"""The kind of identity, then its parts: `("subject", issuer, subject)`, `("client", id)`, `("network", tag)`."""

LOCAL: Owner = ("local",)
"""The one owner of a server that can't tell its callers apart."""

_NETWORK: Final = "network"
_CALL: Final = "call"
_TAG: Final = re.compile(r"[0-9a-f]{12}")


def resolve_owner(
    subject: str | None = None,
    client_id: str | None = None,
    session_id: str | None = None,
    *,
    issuer: str | None = None,
) -> Owner:
    """The first identity that is there: subject, client, session, else `LOCAL`. Empty text is no identity.

    Args:
        issuer: Who vouches for `subject`; a subject is unique only per issuer.
    """
    if subject:
        return ("subject", issuer or "", subject)
    if client_id:
        return ("client", client_id)
    if session_id:
        return ("session", session_id)
    return LOCAL


def network_owner(tag: str) -> Owner:
    """Of tasks whose callers have no credentials, and count by the network they come from.

    Args:
        tag: Twelve hexadecimal digits that stand for the network.
    """
    return (_NETWORK, tag)


def of_calls(owner: Owner) -> Owner:
    """Who has the tasks behind an owner's calls, which no client knows of: they are in none of the owner's lists, and
    no id reaches them.
    """
    return (*owner, _CALL)


def task_suffix(owner: Owner) -> str:
    """What the ids of an owner's tasks end with, so that `owner_named` finds the owner."""
    return f".{owner[1]}" if owner[0] == _NETWORK else ""


def owner_named(task_id: str) -> Owner:
    """Whose a task is that its id alone gives access to. Credentials are never made up for by an id."""
    _, dot, tag = task_id.rpartition(".")
    return network_owner(tag) if dot and _TAG.fullmatch(tag) else LOCAL


def check_owner(owner: object) -> None:
    """Raise `TypeError` unless it is one: a plain string, too, is a sequence of texts."""
    if not isinstance(owner, tuple) or not owner or not all(isinstance(part, str) for part in owner):
        raise TypeError(f"an owner is a tuple of texts such as ('client', 'ann'), not {owner!r}")


def anonymous(owner: Owner) -> bool:
    """Whether nobody vouched for this owner."""
    return owner[0] in ("local", "session", _NETWORK) or not any(owner[1:])


def owner_key(owner: Owner) -> str:
    """The owner as a part of a key: different for different owners, whatever characters they have."""
    return "o:" + ":".join(map(key_text, owner))


def key_text(text: str) -> str:
    """The text without `:`, `{`, `}`, `#` and what is not ASCII, in a way that keeps different texts different."""
    return quote(text, safe="@", errors="surrogatepass")
