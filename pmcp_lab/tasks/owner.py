"""Whose task it is: a structural key, so that no character in a name can reach another owner's tasks."""

from __future__ import annotations

from urllib.parse import quote

Owner = tuple[str, ...]
"""The kind of identity, then its parts: `("subject", issuer, subject)`, `("client", id)`, `("session", id)`."""

LOCAL: Owner = ("local",)
"""The one owner of a server that can't tell its callers apart."""


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


def check_owner(owner: object) -> None:
    """Raise `TypeError` unless it is one: a plain string, too, is a sequence of texts."""
    if not isinstance(owner, tuple) or not owner or not all(isinstance(part, str) for part in owner):
        raise TypeError(f"an owner is a tuple of texts such as ('client', 'ann'), not {owner!r}")


def anonymous(owner: Owner) -> bool:
    """Whether nobody vouched for this owner."""
    return owner[0] in ("local", "session") or not any(owner[1:])


def owner_key(owner: Owner) -> str:
    """The owner as a part of a key: different for different owners, whatever characters they have."""
    return "o:" + ":".join(map(key_text, owner))


def key_text(text: str) -> str:
    """The text without `:`, `{`, `}`, `#` and what is not ASCII, in a way that keeps different texts different."""
    return quote(text, safe="@", errors="surrogatepass")
