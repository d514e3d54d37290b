"""What holds for every kind of output: the same masks, runs that go on, and a ledger that agrees with what is there.

A new kind of output gets a line in ``KINDS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive import archived_masks, masks_below, save_many, seg_batch
from tests.support.storage import stored

COUNT = 20


@dataclass(frozen=True)
class Output:
    """``out``: as a run names it, with the options it needs. ``named``: as the other commands do. ``masks``: reads
    what is there.
    """

    out: list[str]
    named: str
    masks: Callable[[], dict[str, bytes]]


def a_folder(place: Path, _fixture: Callable[[str], Any]) -> Output:
    out = place / "masks"
    return Output([str(out)], str(out), lambda: masks_below(out))


def a_folder_with_its_ledger_elsewhere(place: Path, _fixture: Callable[[str], Any]) -> Output:
    out, ledger = place / "masks", place / "ledger"
    return Output([str(out), "--ledger", str(ledger)], str(ledger), lambda: masks_below(out))


def a_zip(place: Path, _fixture: Callable[[str], Any]) -> Output:
    out = place / "masks.zip"
    return Output([str(out)], str(out), lambda: archived_masks(out))


def a_tar(place: Path, _fixture: Callable[[str], Any]) -> Output:
    out = place / "masks.tar"
    return Output([str(out)], str(out), lambda: archived_masks(out))


def a_bucket(place: Path, fixture: Callable[[str], Any]) -> Output:
    s3, ledger = fixture("s3"), place / "ledger"
    return Output(["s3://masks/set", "--ledger", str(ledger)], str(ledger), lambda: stored(s3, "masks/set"))


KINDS = (a_folder, a_folder_with_its_ledger_elsewhere, a_zip, a_tar, a_bucket)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    save_many(root / "a", COUNT // 2)
    save_many(root / "b", COUNT - COUNT // 2)
    return root


@pytest.fixture(scope="module")
def expected(photos: Path, model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The masks, made in one process, into a folder."""
    out = tmp_path_factory.mktemp("expected")
    run(photos, [str(out)], model_file, "--processes", "1")
    return masks_below(out)


def run(photos: Path, out: list[str], model_file: Path, *options: str) -> str:
    """Run, and return what was said."""
    ended = seg_batch("run", photos, "--out", *out, "--model", model_file, "--device", "cpu", *options)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_output_holds_the_same_masks_and_goes_on(
    kind: Callable[[Path, Callable[[str], Any]], Output],
    photos: Path,
    model_file: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    output = kind(tmp_path, request.getfixturevalue)
    run(photos, output.out, model_file, "--limit", "7")
    some = output.masks()
    assert len(some) == 7
    assert some.items() < expected.items()
    run(photos, output.out, model_file)
    assert len(expected) == COUNT
    assert output.masks() == expected
    assert f"{COUNT} masks unchanged" in run(photos, output.out, model_file)
    assert output.masks() == expected
    verified = seg_batch("verify", output.named)
    assert verified.returncode == 0, verified.stderr
    assert f"{COUNT} masks match the ledger" in verified.stdout + verified.stderr
