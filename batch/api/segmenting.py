"""``seglab.segment``: what ``seg-batch run`` does, from Python."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

from batch.api.options import OPTIONS, TERMS, PathLike, RunOptions, settings_of
from batch.api.outcome import SegmentRun
from batch.ledger.records import Result
from batch.running.interrupt import orderly_interrupt
from batch.running.runner import Runner
from batch.settings import Names
from seglab.arguments import for_python
from seglab.errors import ConfigError


@for_python("seg-batch run", options=OPTIONS)
def segment(
    sources: Names,
    out: PathLike,
    *,
    progress: Callable[[Result], object] | None = None,
    **options: Unpack[RunOptions],
) -> SegmentRun:
    """Write a mask for every image of the sources, as ``seg-batch run`` does, and return a summary of the run.

    ``sources``: a folder, file, archive, pattern or URL, or a list of them. ``out``: a folder, ``.zip``, ``.tar`` or
    URL for the masks; call again with the same one to continue, or to process new and changed images. ``progress``:
    called with each :class:`batch.Result` as it comes. Other ``options`` are named as the fields of
    :class:`batch.RunSettings`: ``model``, ``device``, ``overlays``, ``postprocess`` and so on.

    An image that fails raises no error: see ``failures`` of the returned object. Nothing is printed. Ctrl-C finishes
    the images in progress and raises :class:`KeyboardInterrupt`. The work is done in separate processes, which do not
    import the calling script, so it needs no ``if __name__ == "__main__"``.

    Raises :class:`seglab.errors.ConfigError` for wrong arguments, :class:`batch.errors.SourceError` for a source that
    does not exist, :class:`batch.errors.OutputError` for an output that cannot be written or was not made by seg-batch,
    and :class:`export.errors.ContractError` or :class:`export.errors.DeviceError` for the model or the device.

    >>> import seglab, tempfile
    >>> from pathlib import Path
    >>> from seglab.synth import write_set
    >>> temporary = tempfile.TemporaryDirectory()
    >>> folder = Path(temporary.name)
    >>> photos = write_set(folder / "photos", 3, [(300, 400)], seed=1)
    >>> _ = (folder / "photos" / "images" / "broken.jpg").write_bytes(b"no picture")
    >>> run = seglab.segment(folder / "photos" / "images", out=folder / "masks", device="cpu", compute="fp32")
    >>> run.done, run.failed, run.unchanged
    (3, 1, 0)
    >>> [(Path(failure.path).name, bool(failure.reason)) for failure in run.failures]
    [('broken.jpg', True)]
    >>> [Path(image.mask).name for image in run.images]
    ['synth_00000.png', 'synth_00001.png', 'synth_00002.png']
    >>> temporary.cleanup()
    """
    if not (progress is None or callable(progress)):
        raise ConfigError(f"progress is {progress!r}; expected a function that takes a result, or None.")
    runner = Runner(settings_of(sources, out, options))
    with orderly_interrupt(runner), contextlib.closing(iter(runner)) as results:
        for result in results:
            if progress is not None:
                progress(result if result.error is None else replace(result, error=TERMS.say(result.error)))
    return SegmentRun(runner.report, runner.output)
