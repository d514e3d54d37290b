"""Masks in archives that grow: whole for every reader, and never less than what the ledger says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.commands.forget import ForgetRequest, forget
from batch.commands.score import score
from batch.commands.status import status_of
from batch.commands.verify import verify
from batch.errors import OutputError
from batch.outputs.archive import INDEX_NAME, GrowingArchive
from batch.outputs.framing import Frame, Framing, TarFraming, ZipFraming
from seglab.errors import ConfigError
from tests.support.archive import (
    StandIn,
    archived_masks,
    command,
    masks_below,
    run_all,
    run_with_report,
    save,
    save_many,
    spot,
)

KINDS = pytest.mark.parametrize("kind", ["zip", "tar"])
FRAMINGS: dict[str, Framing] = {"zip": ZipFraming(), "tar": TarFraming()}


@KINDS
def test_an_archive_holds_what_a_folder_would(tmp_path: Path, kind: str) -> None:
    save_many(tmp_path / "in" / "a", 20)
    save(tmp_path / "in" / "ünïcode and spaces" / ("long " * 30 + "name.jpg"))
    run_all(tmp_path / "in", tmp_path / "folder")
    results = run_all(tmp_path / "in", tmp_path / f"masks.{kind}")
    assert archived_masks(tmp_path / f"masks.{kind}") == masks_below(tmp_path / "folder")
    assert {result.mask for result in results} == {
        f"{tmp_path}/masks.{kind}/{name}" for name in masks_below(tmp_path / "folder")
    }
    assert sorted(os.listdir(tmp_path)) == ["folder", "in", f"masks.{kind}", f"masks.{kind}.ledger"]


@pytest.mark.skipif(not shutil.which("unzip") or not shutil.which("tar"), reason="needs unzip and tar")
def test_the_systems_own_tools_read_them(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 5)
    for kind, test in (("zip", ["unzip", "-tq"]), ("tar", ["tar", "tf"])):
        run_all(tmp_path / "in", tmp_path / f"masks.{kind}")
        subprocess.run([*test, tmp_path / f"masks.{kind}"], check=True, capture_output=True)


@KINDS
def test_the_next_run_adds_replaces_and_removes(tmp_path: Path, kind: str) -> None:
    out, folder = tmp_path / f"masks.{kind}", tmp_path / "folder"
    paths = save_many(tmp_path / "in", 6)
    run_all(tmp_path / "in", out)
    before = out.read_bytes()
    _, runner = run_with_report(tmp_path / "in", out)
    assert (runner.report.skipped, out.read_bytes()) == (6, before)  # nothing to do, nothing touched
    save(paths[0], spot(80, 30))
    paths[1].write_bytes(b"broken now")
    save(tmp_path / "in" / "new.png")
    results = run_all(tmp_path / "in", out)
    assert [result.status.value for result in results] == ["done", "failed", *["skipped"] * 4, "done"]
    run_all(tmp_path / "in", folder)
    assert archived_masks(out) == masks_below(folder)
    assert paths[1].name not in archived_masks(out)
    assert verify(out).matching == 6


@KINDS
def test_status_verify_and_score_take_an_archive_or_its_ledger(tmp_path: Path, kind: str) -> None:
    save_many(tmp_path / "in", 4)
    out = tmp_path / f"masks.{kind}"
    run_all(tmp_path / "in", out)
    run_all(tmp_path / "in", tmp_path / "truth")
    for place in (out, tmp_path / f"masks.{kind}.ledger"):
        assert status_of(place).counts["done"] == 4
        assert verify(place).is_whole
        assert score(place, tmp_path / "truth").scores.summary()["dice"] == 1
    damaged = bytearray(out.read_bytes())
    damaged[damaged.index(b"IDAT") + 6] ^= 0xFF
    out.write_bytes(damaged)
    assert len(verify(out, redo=True).wrong) == 1
    run_all(tmp_path / "in", out)
    assert verify(out).is_whole


@KINDS
def test_an_archive_that_is_gone_is_made_again(tmp_path: Path, kind: str) -> None:
    save_many(tmp_path / "in", 4)
    out = tmp_path / f"masks.{kind}"
    run_all(tmp_path / "in", out)
    first = archived_masks(out)
    out.unlink()
    _, runner = run_with_report(tmp_path / "in", out)
    assert runner.report.done == 4
    assert archived_masks(out) == first


def test_what_somebody_else_wrote_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.writestr("b.png", b"precious")
    with pytest.raises(OutputError, match=r"masks\.zip exists, without the ledger"):
        run_all(tmp_path / "in", tmp_path / "masks.zip")
    assert archived_masks(tmp_path / "masks.zip") == {"b.png": b"precious"}
    with pytest.raises(ConfigError, match=r"cannot be written to .*masks\.tar\.gz.*expected \.zip, \.tar or a folder"):
        run_all(tmp_path / "in", tmp_path / "masks.tar.gz")


def test_an_archive_that_was_replaced_by_another_tools_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    run_all(tmp_path / "in", tmp_path / "masks.zip")
    with zipfile.ZipFile(tmp_path / "masks.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"repacked" * 100)
    with pytest.raises(OutputError, match=r"If it was replaced"):
        run_all(tmp_path / "in", tmp_path / "masks.zip")


def test_the_ledger_may_lie_elsewhere_and_remembers_where_the_masks_are(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    run_all(tmp_path / "in", tmp_path / "masks", ledger=tmp_path / "book")
    assert sorted(os.listdir(tmp_path / "masks")) == [".seg-batch", ".seg-batch.lock", "a.png"]
    assert verify(tmp_path / "book").is_whole
    with pytest.raises(OutputError, match=r"go to .*masks, and this run names .*other"):
        run_all(tmp_path / "in", tmp_path / "other", ledger=tmp_path / "book")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@KINDS
def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path, repo_root: Path, kind: str) -> None:
    """The system lets no file of the process grow beyond a limit: a write fails half way, as on a full disk."""
    save_many(tmp_path / "in", 40)
    out, state, most = tmp_path / f"masks.{kind}", tmp_path / "book", 4 << 20
    run_all(tmp_path / "in", out, limit=2, ledger=state)
    store = GrowingArchive(out, FRAMINGS[kind], state)
    store.write("filler.bin", bytes(most - out.stat().st_size - 4096))
    store.close()
    script = (
        "import resource, sys\n"
        "from pathlib import Path\nfrom tests.support.archive import run_all\nfrom batch.errors import OutputError\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
        "try: run_all(Path(sys.argv[1]), Path(sys.argv[2]), ledger=Path(sys.argv[3]))\n"
        "except OutputError as error: print(error); sys.exit(1)\n"
    )
    arguments: list[str | Path] = [sys.executable, "-c", script, tmp_path / "in", out, state]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=repo_root)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "cannot be written: File too large" in ended.stdout
    done = status_of(state).counts["done"]
    assert 2 <= done < 40
    assert verify(state).matching == done
    run_all(tmp_path / "in", out, ledger=state)
    run_all(tmp_path / "in", tmp_path / "folder")
    found = archived_masks(out)
    assert len(found.pop("filler.bin")) < most
    assert found == masks_below(tmp_path / "folder")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(["a.png", "b/c.png", "ü.png"]), st.binary(max_size=1200)),
        st.tuples(st.just("remove"), st.sampled_from(["a.png", "b/c.png", "ü.png"]), st.just(b"")),
        st.tuples(st.just("close"), st.just(""), st.just(b"")),
        st.tuples(st.just("torn"), st.just(""), st.binary(min_size=1, max_size=600)),
        st.tuples(st.just("index lost"), st.just(""), st.just(b"")),
    ),
    max_size=12,
)


@KINDS
@pytest.mark.parametrize("killed_at", range(4))
def test_a_kill_while_an_archive_is_closed_up_leaves_one_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, killed_at: int
) -> None:
    path, names = tmp_path / f"m.{kind}", [f"{number}.png" for number in range(300)]
    store = GrowingArchive(path, FRAMINGS[kind], tmp_path)
    for name in names:
        store.write(name, name.encode())
    store.remove("0.png")
    steps: list[str] = []

    def killing(step: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def either(*arguments: Any) -> Any:
            if len(steps) == killed_at:
                raise KeyboardInterrupt
            steps.append(step)
            return do(*arguments)

        return either

    with monkeypatch.context() as patch:
        assert store._opened is not None
        patch.setattr(os, "replace", killing("replace", os.replace))
        patch.setattr(store._opened, "commit", killing("commit", store._opened.commit))
        with pytest.raises(KeyboardInterrupt):
            store.close()
    store._opened._connection.close()
    again = GrowingArchive(path, FRAMINGS[kind], tmp_path)
    again.prepare([])
    assert set(names[1:]) <= set(again.names())
    assert all(again.read(name) == name.encode() for name in names[1:])
    again.write("new.png", b"new")
    again.close()
    assert set(names[1:]) | {"new.png"} <= set(archived_masks(path))
    assert sorted(left.name for left in tmp_path.iterdir() if left.name.startswith("m.")) == [path.name]


@KINDS
def test_a_part_beside_a_complete_archive_is_not_taken_for_it(tmp_path: Path, kind: str) -> None:
    save_many(tmp_path / "in", 3)
    out, part = tmp_path / f"m.{kind}", tmp_path / f"m.{kind}.part"
    run_all(tmp_path / "in", out)
    whole = out.read_bytes()
    part.write_bytes(b"half a download")
    save_many(tmp_path / "in", 4)
    for command_of in (
        lambda: run_all(tmp_path / "in", out),
        lambda: forget(ForgetRequest(out, [str(tmp_path / "in" / "001.png")])),
        lambda: verify(out),
    ):
        with pytest.raises(OutputError, match="lies beside the complete archive"):
            command_of()
    assert (out.read_bytes(), part.read_bytes()) == (whole, b"half a download")
    part.unlink()
    run_all(tmp_path / "in", out)
    assert len(archived_masks(out)) == 4


@KINDS
@pytest.mark.parametrize("left", [b"mine", bytes(100), b"", None])
def test_a_part_that_was_replaced_is_not_written_over_and_what_a_power_cut_leaves_is(
    tmp_path: Path, kind: str, left: bytes | None
) -> None:
    save_many(tmp_path / "in", 3)
    out, part = tmp_path / f"m.{kind}", tmp_path / f"m.{kind}.part"
    run_all(tmp_path / "in", out)
    os.replace(out, part)  # as a killed run leaves it
    part.write_bytes(part.read_bytes()[:50] if left is None else left)
    if left == b"mine":
        with pytest.raises(OutputError, match="is not what runs of this ledger wrote"):
            run_all(tmp_path / "in", out)
        assert part.read_bytes() == left
        part.unlink()
    run_all(tmp_path / "in", out)
    assert len(archived_masks(out)) == 3


@KINDS
@settings(max_examples=80)
@given(steps=STEPS)
def test_whatever_happens_an_archive_holds_the_last_of_each(
    tmp_path_factory: pytest.TempPathFactory, kind: str, steps: list[tuple[str, str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("growing")
    part = folder / f"m.{kind}.part"
    store = GrowingArchive(folder / f"m.{kind}", FRAMINGS[kind], folder)
    expected: dict[str, bytes] = {}
    for step, name, data in steps:
        if step == "write":
            store.write(name, data)
            expected[name] = data
        elif step == "remove":
            store.remove(name)
            expected.pop(name, None)
        else:
            if step == "close":
                store.close()
            elif store._opened is not None:
                store._opened._connection.close()  # as a kill does: what was not committed is gone
            if step == "torn" and part.exists():  # killed within a write, before the index had the last ones
                part.write_bytes(part.read_bytes() + data)
            elif step == "index lost" and not part.exists():
                for leftover in folder.glob(f"{INDEX_NAME}*"):
                    leftover.unlink()
            store = GrowingArchive(folder / f"m.{kind}", FRAMINGS[kind], folder)
            store.prepare([])
        assert {name: store.read(name) for name in store.names()} == expected
    store.close()
    if (folder / f"m.{kind}").exists():
        assert archived_masks(folder / f"m.{kind}") == dict(sorted(expected.items()))
    else:
        assert not expected


def test_a_zip_of_more_than_65535_members_and_4_gib(tmp_path: Path) -> None:
    framing, path = ZipFraming(), tmp_path / "large.zip"
    head, _ = framing.around("far.png", 3, 0x352441C2, 1_700_000_000)
    frames = [Frame("far.png", 5 << 30, (5 << 30) + len(head), 3, (5 << 30) + len(head) + 3, 0x352441C2, 1_700_000_000)]
    frames += [Frame(f"{number}.png", 0, 30, 0, 30, 0, 0) for number in range(70_000)]
    with path.open("wb") as file:
        file.seek(5 << 30)  # a hole: it takes no space
        file.write(head + b"abc")
        file.writelines(framing.ending(frames, file.tell()))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 70_001
        assert archive.read("far.png") == b"abc"
        assert archive.getinfo("far.png").date_time == (2023, 11, 14, 22, 13, 20)


GROWING = """
import resource, sys
from pathlib import Path
from batch.outputs.archive import GrowingArchive
from batch.outputs.framing import ZipFraming
folder = Path(sys.argv[1])
store = GrowingArchive(folder / "m.zip", ZipFraming(), folder)
for number in range(2_000):
    store.write(f"{number}.png", b"x")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(2_000, 20_000):
    store.write(f"{number}.png", b"x")
store.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_growing_takes_no_memory(tmp_path: Path, repo_root: Path) -> None:
    """What is known of members lies in the index: none is kept in the process; one of its own, as its peak counts."""
    command = [sys.executable, "-c", GROWING, str(tmp_path)]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 6_000  # KiB; a ZipInfo each would be 10,000
    assert len(archived_masks(tmp_path / "m.zip")) == 20_000


def test_the_command_writes_an_archive(tmp_path: Path) -> None:
    from tests.support.artefact import tiny_model

    save_many(tmp_path / "in", 3)
    model = tiny_model(tmp_path / "tiny.onnx")
    options = ("--model", model, "--device", "cpu")
    ended = subprocess.run(
        command("run", tmp_path / "in", "--out", tmp_path / "m.zip", *options), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert f"Masks     {tmp_path}/m.zip" in ended.stderr
    assert f"seg-batch status {tmp_path}/m.zip\n" in ended.stderr
    assert len(archived_masks(tmp_path / "m.zip")) == 3


def test_masks_of_a_stand_in_are_right_in_an_archive_too(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", spot(50, 70))
    run_all(tmp_path / "in", tmp_path / "m.zip", StandIn(), mask_bits=8)
    assert verify(tmp_path / "m.zip").is_whole
