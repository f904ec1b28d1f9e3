"""Folders of skills, made for tests."""

from __future__ import annotations

from pathlib import Path

BINARY = b"\x89PNG\r\n\x1a\n\x00\xff"

Files = dict[str, str | bytes]


def skill_md(name: str, *lines: str, description: str = "What it is for", body: str = "Do it.\n") -> str:
    return "\n".join(["---", f"name: {name}", f"description: {description}", *lines, "---", body])


TRAPS: Files = {
    "refunds/SKILL.md": skill_md("refunds", "license: MIT", body="Read [examples](examples/mail.md).\r\n"),
    "refunds/examples/mail.md": b"Dear all,\r\n\r\nthe end\r\n",
    "refunds/examples/with mark.txt": "\ufeffa mark, and a space in the name",
    "refunds/examples/100% é?#.md": "all of it in its name",
    "refunds/examples/deep/er/latin.txt": "é".encode("latin-1"),
    "refunds/assets/logo.png": BINARY,
    "refunds/empty.txt": b"",
    "refunds/inner/partial/SKILL.md": skill_md("partial"),
    "refunds/inner/partial/notes.md": "notes",
    "billing/old/invoices/SKILL.md": b"\xef\xbb\xbf" + skill_md("invoices").replace("\n", "\r\n").encode(),
    "README.md": "not of a skill",
    "refunds/.env": "SECRET=1",
    "refunds/.git/config": "[core]",
    "refunds/__pycache__/a.pyc": b"\x00",
}
"""What peers stumble over: line ends, marks, bytes, names, skills in skills, files that are not meant for others."""

SERVED = sorted(path for path in TRAPS if "/." not in path and "__pycache__" not in path and path != "README.md")


def write(folder: Path, files: Files) -> Path:
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
