"""`seglab train` as tests call it: with settings that make it tiny."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from seglab.cli import main

TINY = (
    "size=32", "batch=4", "workers=0", "split=fifth", "arch=unet-scratch", "widths=[4,8]", "decoder_channels=[]",
)  # fmt: skip


def train(archive: Path, out: Path, *changes: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Return exit code and output."""
    words = [word for change in (*TINY, *changes) for word in ("--set", change)]
    result = CliRunner().invoke(main, ["train", "--data", str(archive), "--out", str(out), *words, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output
