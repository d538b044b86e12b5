"""The one module that writes: whole or not at all, verified, and honest about a full disk."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glia import disk
from glia.errors import DamagedError, DiskError, GliaError

FILES = {"state.json": b'{"step": 1}', "weights.bin": bytes(range(256)) * 40, "sub/picture.png": b"\x89PNG"}


def test_a_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    disk.write_folder(tmp_path / "model", FILES)
    assert disk.read_folder(tmp_path / "model") == FILES
    disk.write_folder(tmp_path / "model", {"other": b"x"})
    assert disk.read_folder(tmp_path / "model") == {"other": b"x"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_every_flipped_bit_is_found(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "model"
    disk.write_folder(folder, FILES)
    path = folder / data.draw(st.sampled_from([*FILES, disk.MANIFEST]))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) * 8 - 1))
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        disk.read_folder(folder)


@pytest.mark.parametrize("name", [*FILES, disk.MANIFEST])
def test_a_missing_or_cut_file_is_found(tmp_path: Path, name: str) -> None:
    disk.write_folder(tmp_path / "model", FILES)
    path = tmp_path / "model" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError):
        disk.read_folder(tmp_path / "model")
    path.unlink()
    with pytest.raises(DamagedError):
        disk.read_folder(tmp_path / "model")


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    disk.write_folder(tmp_path / "model", FILES)
    manifest = disk.signed({"../secret": {"bytes": 1, "sha256": "0"}})
    (tmp_path / "model" / disk.MANIFEST).write_bytes(manifest)
    with pytest.raises(DamagedError, match="outside"):
        disk.read_folder(tmp_path / "model")


class Crash(BaseException):
    """The machine stops here."""


@pytest.mark.parametrize("how", ["crash", "full"])
def test_a_save_can_fail_at_every_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Fail the n-th operation on the disk for n = 1, 2, 3 ... until none is left: a whole folder is always found."""
    old, new = {"state.json": b"old"}, {"state.json": b"new", "more": b"x"}
    for fails_at in range(1, 200):
        place = tmp_path / f"{how}-{fails_at}"
        place.mkdir()
        disk.write_folder(place / "model", old)
        count = 0

        def failing(call: Any, fails_at: int = fails_at) -> Any:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == fails_at:
                    raise Crash if how == "crash" else OSError(errno.ENOSPC, "No space left on device")
                return call(*args, **kwargs)

            return wrapped

        with monkeypatch.context() as patched:
            for name in ("fsync", "rename", "mkdir", "open", "write"):
                patched.setattr(disk.os, name, failing(getattr(os, name)))
            try:
                disk.write_folder(place / "model", new)
            except (Crash, DiskError) as error:
                assert how == "crash" or "disk is full" in str(error)
        if not (place / "model").exists():
            disk.tidy(place)
        assert disk.read_folder(place / "model") in (old, new)
        if count < fails_at:
            assert fails_at > 8
            return
    raise AssertionError("the save never came through")


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    """SIGKILL while a file is being replaced, over and over."""
    path = tmp_path / "state.json"
    disk.write_json(path, {"n": -1})
    code = (
        "import sys; from pathlib import Path; from glia import disk\n"
        "print('go', flush=True)\n"
        "for n in range(10**6): disk.write_json(Path(sys.argv[1]), {'n': n, 'pad': 'x' * 20000})"
    )
    for delay in range(6):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(delay * 40):
            os.sched_yield()
        child.kill()
        child.wait()
        child.stdout.close()
        assert json.loads(path.read_bytes())["n"] >= -1


def test_a_log_is_cut_back_to_what_a_checkpoint_knew(tmp_path: Path) -> None:
    log = disk.Log(tmp_path / "chart.jsonl")
    log.append({"step": 1})
    known = log.sync()
    log.append({"step": 2})
    log.close()
    again = disk.Log(tmp_path / "chart.jsonl", keep_bytes=known)
    again.append({"step": 2.5})
    again.close()
    assert (tmp_path / "chart.jsonl").read_text() == '{"step": 1}\n{"step": 2.5}\n'


def test_names_of_new_folders_and_locks(tmp_path: Path) -> None:
    assert [disk.new_folder(tmp_path, "run").name for _ in range(3)] == ["run", "run-2", "run-3"]
    with disk.locked(tmp_path), pytest.raises(GliaError, match="in use"), disk.locked(tmp_path):
        pass
    with disk.locked(tmp_path):
        pass


def test_rows_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "out" / "predictions.csv"
    with disk.open_rows(path) as file:
        file.write(b"a\n")
        assert not path.exists()
    with pytest.raises(GliaError, match="exists already"), disk.open_rows(path):
        pass
    with pytest.raises(RuntimeError), disk.open_rows(path, overwrite=True) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"a\n" and len(list(path.parent.iterdir())) == 1


def test_tidying_takes_what_dead_processes_left_and_nothing_else(tmp_path: Path) -> None:
    dead, alive = 4_194_303, os.getppid()
    disk.write_folder(tmp_path / "model", FILES)
    (tmp_path / "model").rename(tmp_path / f".old-model-{dead}-00000000")
    disk.write_folder(tmp_path / f".tmp-step-000000005-{dead}-12345678", FILES)
    disk.write_folder(tmp_path / f".tmp-step-000000005-{dead}", FILES)  # as earlier versions named them
    disk.write_folder(tmp_path / f".tmp-step-000000005-{alive}-12345678", FILES)
    for name in (
        f".a.json.{dead}-12345678.tmp",
        f".a.json.{alive}-12345678.tmp",
        ".mine.tmp",
        "notes.tmp",
        ".tmp-mine",
    ):
        (tmp_path / name).write_text("x")
    disk.tidy(tmp_path)
    kept = {
        f".tmp-step-000000005-{alive}-12345678",
        f".a.json.{alive}-12345678.tmp",
        ".mine.tmp",
        "notes.tmp",
        ".tmp-mine",
    }
    assert {p.name for p in tmp_path.iterdir()} == {"model", *kept}
    assert disk.read_folder(tmp_path / "model") == FILES


def test_a_linked_folder_is_not_emptied(tmp_path: Path) -> None:
    disk.write_folder(tmp_path / "elsewhere", FILES)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    disk.remove_folder(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink() and disk.read_folder(tmp_path / "elsewhere") == FILES


def test_a_reader_waits_out_a_folder_that_is_replaced_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model"
    disk.write_folder(target, {"a": b"old", "b": b"old"})
    read, replaced = Path.read_bytes, []

    def slowly(path: Path) -> bytes:
        content = read(path)
        if path.name == disk.MANIFEST and path.parent == target and len(replaced) == 1:
            disk.write_folder(target, {"a": b"new", "b": b"new"})
        replaced.append(path)
        return content

    monkeypatch.setattr(Path, "read_bytes", slowly)
    assert disk.read_folder(target) == {"a": b"new", "b": b"new"}


def test_a_log_goes_on_after_a_torn_line_and_not_where_lines_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "clock.jsonl"
    path.write_bytes(b'{"epoch": 1}\n{"epo')
    log = disk.Log(path)
    log.append({"epoch": 2})
    assert log.sync() == 26 and path.read_bytes() == b'{"epoch": 1}\n{"epoch": 2}\n'
    assert log.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    log.close()
    with pytest.raises(DamagedError, match="shorter"):
        disk.Log(path, keep_bytes=27)


def test_a_save_that_cannot_fit_says_what_is_needed_and_what_is_free(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free

    class Huge(bytes):
        def __len__(self) -> int:
            return free + 10 * 2**20

    with pytest.raises(
        DiskError, match=r"the disk is full; got [\d.]+ MiB free on the disk at /.*; expected [\d.]+ MiB"
    ):
        disk.write_file(tmp_path / "x", Huge())
    assert not list(tmp_path.iterdir())
