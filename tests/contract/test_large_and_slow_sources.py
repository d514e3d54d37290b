"""Large images, long streams and pipes that pause: no run waits for ever, and what came is done."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.faults import (
    PATIENCE,
    counts,
    ended,
    faulty,
    healthy,
    png,
    reasons,
    run_words,
    started,
    tar_of,
    wait_for,
    write_images,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")


def bmp(side: int, seed: int = 0) -> bytes:
    """Return a BMP that is as large as its pixels, of few colours."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (seed % 200, 160, 140)).save(file, "BMP")
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--processes", "1", "--batch", "64"), ("--processes", "2"), ("--exact",)])
def test_a_stream_of_images_larger_than_what_is_held(
    model_file: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    images = {f"{number:03}.bmp": bmp(1774, number) for number in range(60)}  # 9.4 MB each, 566 MB together
    assert 9 * 2**20 < len(images["000.bmp"]) < 9.1 * 2**20
    (tmp_path / "large.tar.gz").write_bytes(tar_of(images, "w:gz"))
    code, said = ended(tmp_path, *run_words(tmp_path / "large.tar.gz", tmp_path / "out", model_file, *options))
    assert code == 0, said
    assert counts(tmp_path / "out") == {"done": 60, "failed": 0, "pending": 0}


@pytest.mark.slow
def test_a_stream_with_images_that_are_each_larger_than_what_is_held(model_file: Path, tmp_path: Path) -> None:
    images = {f"{number}.bmp": bmp(9600, number) for number in range(2)}  # 276 MB, 92 megapixels
    images |= healthy(20)
    images["large-crash.png"] = png(np.zeros((8200, 8200, 3), np.uint8), "after-crash")
    images["zz.bmp"] = bmp(9600)
    (tmp_path / "large.tar.gz").write_bytes(tar_of(images, "w:gz"))
    code, said = ended(tmp_path, *run_words(tmp_path / "large.tar.gz", tmp_path / "out", model_file))
    assert code == 3, said
    assert set(reasons(tmp_path / "out")) == {"large-crash.png"}
    assert counts(tmp_path / "out") == {"done": 23, "failed": 1, "pending": 0}


@pytest.mark.slow
def test_what_came_before_a_pipe_pauses_is_done_meanwhile(model_file: Path, tmp_path: Path) -> None:
    data, out = tar_of(faulty("crash", count=9)), tmp_path / "out"
    read, write = os.pipe()
    with started(tmp_path, *run_words("-", out, model_file), stdin=read) as run, os.fdopen(write, "wb") as pipe:
        os.close(read)
        last = data.rindex(b"ustar") - 257  # where the header of the last member begins
        pipe.write(data[:last])
        pipe.flush()
        wait_for(lambda: counts(out).get("done", 0) == 8, PATIENCE, lambda: f"{counts(out)}; it said: {run.said}")
        wait_for(lambda: counts(out).get("failed", 0) == 1, PATIENCE, lambda: f"{counts(out)}; it said: {run.said}")
        pipe.write(data[last:])
        pipe.close()
        assert run.wait() == 3, run.said
    assert counts(out) == {"done": 9, "failed": 1, "pending": 0}


@pytest.fixture
def trickle() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(PATIENCE)


@pytest.mark.slow
def test_a_pipe_that_pauses_in_the_middle_of_an_image(
    model_file: Path, tmp_path: Path, trickle: list[threading.Thread]
) -> None:
    data = tar_of(faulty("kill", "hang", count=30))
    read, write = os.pipe()

    def send() -> None:
        with os.fdopen(write, "wb", buffering=0) as pipe:
            for part in (data[: len(data) // 3], data[len(data) // 3 :]):
                pipe.write(part)
                time.sleep(5)

    trickle.append(threading.Thread(target=send))
    with started(tmp_path, *run_words("-", tmp_path / "out", model_file, "--timeout", "3"), stdin=read) as run:
        os.close(read)
        trickle[0].start()
        assert run.wait() == 3, run.said
    assert {name[4:] for name in reasons(tmp_path / "out")} == {"kill.png", "hang.png"}
    assert counts(tmp_path / "out") == {"done": 30, "failed": 2, "pending": 0}


@pytest.mark.slow
def test_large_images_are_worked_on_one_at_a_time(model_file: Path, tmp_path: Path) -> None:
    images = healthy(20)
    large = np.full((8100, 8100, 3), 90, np.uint8)  # 65.6 megapixels
    images |= {f"large-{n}.png": png(large, fault, compress_level=1) for n, fault in enumerate(("", "", "after-exit"))}
    source = write_images(tmp_path / "in", images)
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--processes", "2"))
    assert code == 3, said
    assert set(reasons(tmp_path / "out")) == {"large-2.png"}
    assert counts(tmp_path / "out") == {"done": 22, "failed": 1, "pending": 0}
