"""The files of sweeps: whose they are, and whatever may become of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client.tasks import kept_set
from pmcp_lab.errors import UnknownSet
from tests.unit.client.conftest import Connect, files
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


class TestFiles:
    def test_only_their_owner_reads_them(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", [{"n": 1, "note": "s3cret"}], name="sweep-1").wait(20)
        (file,) = files(notebook)
        assert "s3cret" in file.read_text()
        for path in (*notebook.rglob("*"), notebook):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert "sweep" not in str(file)

    def test_none_where_nothing_is_to_be_remembered(
        self, connect: Connect, notebook: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = connect()
        many = server.map("hold", [{"n": 1}], name="before")
        (file,) = files(notebook)
        before = file.read_text()
        until(lambda: many[0].id)
        monkeypatch.setattr(lab.session, "remember", False)
        many.cancel()
        many.wait(20)
        server.map("double", [1], name="after").wait(20)
        assert list(server.sets) == ["before", "after"]
        assert "cancelled" not in file.read_text()
        assert files(notebook) == [file]
        assert before in file.read_text()

    def test_clear_forgets_them(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        lab.session.clear()
        assert files(notebook) == []
        assert list(connect().sets) == []

    def test_a_line_cut_off_loses_only_itself(self, connect: Connect, notebook: Path, workshop: Workshop) -> None:
        connect().map("double", [1, 2], name="sweep-1").wait(20)
        (file,) = files(notebook)
        text = file.read_text()
        file.write_text(text[: text.rindex("\n{") + 30])
        again = connect().sets["sweep-1"]
        assert [each.value for each in again.results(timeout=20)] == [2, 4], "the server still knows"
        workshop.server = Workshop().server
        assert [each.value for each in connect().sets["sweep-1"].results(timeout=20)] == [2, 4]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "no JSON\n",
            "[]\n",
            '{"pmcp_lab_set": 2, "name": "sweep-1", "rows": 1, "created": 1}\n{}\n',
            "\0" * 99,
        ],
    )
    def test_a_foreign_file_is_no_set(self, connect: Connect, notebook: Path, text: str) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        file.write_text(text)
        (file.parent / "notes.jsonl").write_text(text)
        server = connect()
        assert list(server.sets) == []
        assert server.map("double", [5], name="sweep-1").results(timeout=20)[0].value == 10

    def test_junk_within_is_passed_over(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        with file.open("a") as opened:
            for junk in ("{", "[1]", '{"row": 99, "begun": 1}', '{"row": "x"}', '{"row": 0, "task": 5, "begun": "x"}'):
                opened.write(junk + "\n")
        assert connect().sets["sweep-1"].results(timeout=5)[0].value == 2

    def test_a_half_written_one_is_no_set(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", range(9), name="sweep-1").wait(20)
        (file,) = files(notebook)
        file.write_text("\n".join(file.read_text().splitlines()[:6]))
        with pytest.raises(UnknownSet, match="is damaged: del server.sets"):
            connect().sets["sweep-1"]
        assert len(connect().map("double", [1], name="sweep-1").results(timeout=20)) == 1

    def test_a_link_is_not_followed(self, connect: Connect, notebook: Path, tmp_path: Path) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        other = tmp_path / "other"
        file.rename(other)
        file.symlink_to(other)
        assert list(connect().sets) == []

    def test_a_folder_that_cant_be_written_is_no_reason_to_fail(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("JPY_SESSION_NAME", "x")
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file"))
        monkeypatch.setattr(lab.session, "trouble", None)  # it is found out for good
        with lab.connect(workshop.server, name="shop") as server:
            many = server.map("double", [1], name="sweep-1")
            assert many.results(timeout=20)[0].value == 2
            assert "'sweep-1' can't be kept" in repr(many)

    def test_the_old_and_the_many_are_forgotten(
        self, connect: Connect, notebook: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = connect()
        for name in ("old", "idle", "held"):
            server.map("double", [1], name=name).wait(20)
        held = server.map("hold", [{"n": 1}], name="runs")
        until(lambda: held[0].id)
        (old,) = [file for file in files(notebook) if '"old"' in file.read_text()]
        (runs,) = [file for file in files(notebook) if '"runs"' in file.read_text()]
        for file in (old, runs):
            os.utime(file, (1, 1))
        other = connect("other")
        other.map("double", [1], name="new").wait(20)
        assert list(other.sets) == ["idle", "held", "runs", "new"], "what runs is not deleted"
        monkeypatch.setattr(kept_set, "KEPT", 3)
        other.map("double", [1], name="newest").wait(20)
        assert set(connect("third").sets) >= {"new", "newest", "runs"}
        assert len(connect("third").sets) <= 4
        held.cancel()
