"""Whether what a server shows of its skills is what SEP-2640 and Agent Skills ask for. Rules over plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pmcp_lab.apps.finding import Finding, Level
from pmcp_lab.apps.served import Answer, Raw, ServedSkills
from pmcp_lab.protocol.front_matter import (
    InvalidFrontMatter,
    allowed_tools,
    field_problems,
    read_front_matter,
    same_json,
)
from pmcp_lab.protocol.served_front_matter import served_problems
from pmcp_lab.protocol.skill_uri import SKILL_FILE, InvalidSkill, SkillUri
from pmcp_lab.protocol.skills import (
    DIRECTORY_READ,
    DIRECTORY_TYPE,
    EXTENSION,
    GET,
    LIST,
    META_PREFIX,
    READ_DIRECTORY,
    SKILL_TYPE,
    SkillEntry,
    SkillFile,
    content_bytes,
    decode_entry,
    entry_problems,
)

INVALID_PARAMS: Final = -32602
_HINTS: Final = ("ttlMs", "cacheScope")
_SCRIPTS: Final = (".bash", ".bat", ".cmd", ".js", ".mjs", ".ps1", ".py", ".rb", ".sh", ".ts")

_FIXES: Final = {
    "uri": "write skill://<path>/<name>/SKILL.md, with what no URI has quoted",
    "name": "let the name be 1 to 64 of a-z, 0-9 and single hyphens, and the last folder of the URI",
    "description": "say in 1 to 1024 characters what it is for: a model chooses by that",
    "frontmatter": "give the entry the front matter of its SKILL.md, each field as it is",
    "incomplete": 'list every file of the skill once, SKILL.md among them, or say "dynamic"',
    "outside": "list only what is in the folder of SKILL.md",
    "digest": "write sha256: and 64 lower-case digits of the bytes that resources/read gives",
    "size": "write the number of bytes that resources/read gives",
    "twice": "list it once",
    "limit": "make it smaller, or two skills: hosts may refuse it",
}


def check_skills(served: ServedSkills) -> Iterator[Finding]:
    """Everything about skills that is not as it should be."""
    yield from _server(served)
    uris = Counter(str(raw.get("uri")) for raw in served.entries if isinstance(raw, Mapping))
    for uri, count in uris.items():
        if count > 1:
            yield _error("skill-twice", f"skill {uri}", f"is listed {count} times", "list it once")
    for number, raw in enumerate(served.entries):
        place = f"skill {raw.get('uri') if isinstance(raw, Mapping) else f'number {number}'}"
        yield from _entry(raw, place)
        try:
            entry = decode_entry(raw)
        except InvalidSkill:
            continue
        yield from _got(raw, entry, place, served)
        yield from _directory(entry, place, served)
        yield from _resource(entry, place, served)
        for file in entry.files or ():
            if file.uri in served.files:
                yield from _file(file, entry, place, served.files[file.uri])


# --- the server -------------------------------------------------------------------------------------


def _server(served: ServedSkills) -> Iterator[Finding]:
    if served.settings is None:
        if served.entries:
            yield Finding(
                "warning",
                "skills-legacy-hidden",
                "server",
                f"answers {LIST}, but its capabilities do not name {EXTENSION}: clients do not ask",
                "declare it under capabilities.extensions also in the handshake of 2025-11-25",
            )
        return
    if not served.resources:
        yield _error(
            "skills-no-resources",
            "server",
            "declares skills, but no resources, by which their files are read",
            "declare the capability resources",
        )
    for page in served.pages:
        if page.result is None:
            yield _error("skills-no-list", "server", f"does not answer {LIST}: {page.trouble}", "answer it")
        elif not isinstance(page.result.get("skills"), list):
            yield _error("skills-no-list", "server", f"answers {LIST} without a list of skills", 'write "skills": […]')
        else:
            yield from _hints(page.result, LIST, served, "error")
    cursors = [str(page.result["nextCursor"]) for page in served.pages if page.result and page.result.get("nextCursor")]
    if len(set(cursors)) < len(cursors):
        yield _error("skills-no-list", "server", f"repeats a cursor of {LIST}", "let each page name another one")
    if served.unknown is not None and served.unknown.code != INVALID_PARAMS:
        said = "a result" if served.unknown.result is not None else f"{served.unknown.code}: {served.unknown.trouble}"
        yield _error(
            "skills-no-get",
            "server",
            f"answers {GET} of a skill that there is not with {said}",
            f"answer {INVALID_PARAMS}",
        )
    for listed in served.listed:
        if str(listed.get("uri")).rstrip("/").endswith("/index.json"):
            yield Finding(
                "note",
                "skills-old-index",
                f"resource {listed.get('uri')}",
                "is the index of an earlier draft, which clients do not read",
                f"leave it to {LIST}",
            )


def _hints(result: Raw, method: str, served: ServedSkills, level: Level) -> Iterator[Finding]:
    there = [name for name in _HINTS if name in result]
    if served.modern and len(there) < len(_HINTS):
        missing = ", ".join(name for name in _HINTS if name not in there)
        yield Finding(
            level,
            "skill-cache-hints",
            "server",
            f"answers {method} without {missing}: the TypeScript client refuses that",
            'write "ttlMs": 0, "cacheScope": "private" at least',
        )
    elif not served.modern and (leaked := [*there, *(["resultType"] if "resultType" in result else [])]):
        yield Finding(
            "warning",
            "skills-cache-leak",
            "server",
            f"answers {method} of a 2025-11-25 client with {', '.join(leaked)}, which that revision has not",
            "leave it out there",
        )


# --- a skill ----------------------------------------------------------------------------------------


def _entry(raw: object, place: str) -> Iterator[Finding]:
    for problem in entry_problems(raw):
        level: Level = "warning" if problem.code == "limit" else "error"
        yield Finding(level, f"skill-{problem.code}", place, str(problem), _FIXES[problem.code])
    fields = raw.get("frontmatter") if isinstance(raw, Mapping) else None
    if not isinstance(fields, Mapping):
        return
    for name, what in field_problems(fields):
        if name not in ("name", "description"):
            yield Finding("warning", "skill-metadata", place, what, "write it as Agent Skills has it")
    if asked := allowed_tools(fields):
        yield Finding(
            "note",
            "skill-allowed-tools",
            place,
            f"asks for tools: {', '.join(asked)}",
            "expect no host to grant them for that",
        )
    files = raw["resources"] if isinstance(raw, Mapping) else None
    if files == "dynamic":
        yield Finding(
            "warning",
            "skill-dynamic",
            place,
            'says "dynamic" instead of listing its files: nothing can be verified, and hosts may decline it',
            "list them, with digest and size",
        )
    elif isinstance(files, list):
        paths = [str(file.get("uri")) for file in files if isinstance(file, Mapping)]
        scripts = [path.rpartition("/")[2] for path in paths if path.lower().endswith(_SCRIPTS)]
        if scripts:
            more = f" and {len(scripts) - 5} more" if len(scripts) > 5 else ""
            yield Finding(
                "note",
                "skill-scripts",
                place,
                f"has scripts: {', '.join(scripts[:5])}{more}",
                "expect hosts not to run them without asking",
            )


def _got(raw: Raw, entry: SkillEntry, place: str, served: ServedSkills) -> Iterator[Finding]:
    answer = served.got.get(entry.uri)
    if answer is None:
        return
    if answer.result is None:
        yield _error("skills-no-get", place, f"is listed, but {GET} answers: {answer.trouble}", "answer with its entry")
    elif not same_json(answer.result.get("skill"), raw):
        yield _error("skills-no-get", place, f"{GET} gives another entry than {LIST}", "give the same")
    else:
        yield from _hints(answer.result, GET, served, "error")


def _directory(entry: SkillEntry, place: str, served: ServedSkills) -> Iterator[Finding]:
    answer = served.directories.get(str(entry.root))
    if answer is None:
        return
    items = None if answer.result is None else answer.result.get("resources")
    if not isinstance(items, list):
        said = answer.trouble or "no list of resources"
        fix = f"answer it, or do not declare {DIRECTORY_READ}"
        yield _error("skill-directory", place, f"{READ_DIRECTORY} of its folder answers: {said}", fix)
        return
    yield from _hints(answer.result or {}, READ_DIRECTORY, served, "warning")
    shown: dict[SkillUri, Any] = {}
    for item in items:
        try:
            shown[SkillUri.parse(item["uri"])] = item
        except (InvalidSkill, TypeError, KeyError):
            yield _error("skill-directory", place, f"its folder has a child without a usable uri: {item}", "write one")
    folders, files = _children(entry)
    for uri in (*folders, *files):
        if uri not in shown and not (answer.result or {}).get("nextCursor"):
            yield _error("skill-directory", place, f"its folder does not show {uri}", "show all that the entry lists")
    for uri in folders:
        if uri in shown and shown[uri].get("mimeType") != DIRECTORY_TYPE:
            yield _error(
                "skill-directory", f"{place} {uri}", "is shown as a file", f'write "mimeType": "{DIRECTORY_TYPE}"'
            )


def _children(entry: SkillEntry) -> tuple[list[SkillUri], list[SkillUri]]:
    """The folders and the files that are in the folder of a skill."""
    folders: dict[SkillUri, None] = {}
    files = []
    for file in entry.files or ():
        path = entry.root.path_of(SkillUri.parse(file.uri))
        child = entry.root.below(path.split("/")[0])
        if "/" in path:
            folders[child] = None
        else:
            files.append(child)
    return list(folders), files


def _resource(entry: SkillEntry, place: str, served: ServedSkills) -> Iterator[Finding]:
    listed = next((each for each in served.listed if each.get("uri") == entry.uri), None)
    if listed is None:
        return
    if listed.get("mimeType") != SKILL_TYPE:
        yield Finding(
            "warning", "skill-mime", place, f"its resource is {listed.get('mimeType')}", f"write {SKILL_TYPE}"
        )
    for key in ("name", "description"):
        if listed.get(key) != entry.frontmatter.get(key):
            yield Finding(
                "warning",
                "skill-resource-name",
                place,
                f"the {key} of its resource is {listed.get(key)!r}",
                f"take that of the front matter, {entry.frontmatter.get(key)!r}",
            )
    meta = listed.get("_meta")
    for key in meta if isinstance(meta, Mapping) else ():
        if not str(key).startswith(META_PREFIX):
            yield Finding(
                "warning",
                "skill-meta-prefix",
                place,
                f"its resource has _meta.{key}",
                f"let keys about skills begin with {META_PREFIX}",
            )


# --- a file, when files are read --------------------------------------------------------------------


def _file(file: SkillFile, entry: SkillEntry, place: str, answer: Answer) -> Iterator[Finding]:
    where = f"{place} {file.uri}" if file.uri != entry.uri else place
    contents = None if answer.result is None else answer.result.get("contents")
    if not isinstance(contents, list) or len(contents) != 1 or not isinstance(contents[0], Mapping):
        said = answer.trouble or f"{len(contents) if isinstance(contents, list) else 'no'} contents"
        yield _error("skill-read", where, f"can't be read: {said}", "serve each file that the entry lists")
        return
    try:
        data = content_bytes(contents[0])
    except InvalidSkill as error:
        yield _error("skill-read", where, f"can't be read: {error}", "send text, or base64 as blob")
        return
    if wrong := file.mismatch(data):
        yield _error(
            f"skill-{wrong.code}", where, str(wrong), "serve the bytes that were hashed: line ends, marks and all"
        )
        return
    if file.uri != entry.uri:
        return
    if contents[0].get("mimeType") != SKILL_TYPE:
        kind = contents[0].get("mimeType")
        yield Finding("warning", "skill-mime", where, f"is read as {kind}", f"write {SKILL_TYPE}")
    yield from _front_matter(data, entry, where)


def _front_matter(data: bytes, entry: SkillEntry, place: str) -> Iterator[Finding]:
    try:
        front_matter = read_front_matter(data.decode())
    except (UnicodeDecodeError, InvalidFrontMatter) as error:
        yield _error("skill-frontmatter", place, f"its {SKILL_FILE} can't be used: {error}", "correct it")
        return
    if not front_matter.matches(entry.frontmatter):
        differing = ", ".join(front_matter.differences(entry.frontmatter))
        yield _error(
            "skill-frontmatter", place, f"the entry differs from {SKILL_FILE} in: {differing}", _FIXES["frontmatter"]
        )
    for what in served_problems(front_matter):
        yield _error("skill-yaml", place, f"its front matter is not read alike by all: {what}", "write it plainly")


def _error(code: str, place: str, what: str, fix: str) -> Finding:
    return Finding("error", code, place, what, fix)
