"""What a server shows of its skills, asked for one after the other, for `app check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmcp_lab.apps.served import Answer, ServedSkills
    from pmcp_lab.client import Server

MOST_PAGES = 1000


def look_at_skills(server: Server, *, files: bool) -> ServedSkills | None:
    """Everything a server shows of its skills; None where it does not declare them, nor lists what looks like one.

    What fails is noted, not raised.

    Args:
        files: Read each file that is listed, too.
    """
    from pmcp_lab.apps.served import ServedSkills
    from pmcp_lab.client import client_of
    from pmcp_lab.protocol.skills import DIRECTORY_READ, EXTENSION, GET, READ_DIRECTORY

    peer = client_of(server).connection.wait()
    settings = (peer.capabilities.extensions or {}).get(EXTENSION)
    listed = [item.raw for item in server.resources.values() if not item.template and item.uri.startswith("skill://")]
    # Who declares nothing is asked only where there is reason to: some servers end at a method they do not know.
    if settings is None and (peer.modern or not listed):
        return None
    pages = _pages(server)
    uris = _uris(pages)
    if settings is None and not uris:
        return None
    got = {uri: _ask(server, GET, uri=uri) for uri in uris} if settings is not None else {}
    unknown = _ask(server, GET, uri="skill://pmcp-lab-check/no-such-skill/SKILL.md") if got else None
    directories = {}
    if isinstance(settings, Mapping) and settings.get(DIRECTORY_READ) is True:
        roots = [uri.removesuffix("/SKILL.md") for uri in uris]
        directories = {root: _ask(server, READ_DIRECTORY, uri=root) for root in roots}
    read: dict[str, Answer] = {}
    if files and settings is not None:
        read = {uri: _ask(server, "resources/read", uri=uri) for uri in _files(pages)}
    return ServedSkills(
        modern=peer.modern,
        settings=settings,
        resources=peer.capabilities.resources is not None,
        pages=pages,
        got=got,
        unknown=unknown,
        directories=directories,
        files=read,
        listed=tuple(listed),
    )


def _pages(server: Server) -> tuple[Answer, ...]:
    from pmcp_lab.protocol.skills import LIST

    pages: list[Answer] = []
    params: dict[str, Any] = {}
    cursors: set[str] = set()
    while len(pages) < MOST_PAGES:
        pages.append(_ask(server, LIST, **params))
        cursor = (pages[-1].result or {}).get("nextCursor")
        if not isinstance(cursor, str) or cursor in cursors:
            break
        cursors.add(cursor)
        params = {"cursor": cursor}
    return tuple(pages)


def _entries(pages: tuple[Answer, ...]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for page in pages:
        skills = (page.result or {}).get("skills")
        found += [each for each in skills if isinstance(each, Mapping)] if isinstance(skills, list) else []
    return found


def _uris(pages: tuple[Answer, ...]) -> list[str]:
    found = [entry.get("uri") for entry in _entries(pages)]
    return list(dict.fromkeys(uri for uri in found if isinstance(uri, str)))


def _files(pages: tuple[Answer, ...]) -> list[str]:
    found: dict[str, None] = {}
    for entry in _entries(pages):
        files = entry.get("resources")
        for file in files if isinstance(files, list) else ():
            if isinstance(file, Mapping) and isinstance(file.get("uri"), str):
                found[file["uri"]] = None
    return list(found)


def _ask(server: Server, method: str, **params: Any) -> Answer:
    from pmcp_lab.apps.served import Answer
    from pmcp_lab.client import client_of, runtime
    from pmcp_lab.errors import LabError, PeerError

    try:
        return Answer(runtime().run(client_of(server).ask(lambda peer: peer.request(method, params))))
    except LabError as error:
        code = error.code if isinstance(error, PeerError) else None
        return Answer(code=code, trouble=str(error).splitlines()[0])
