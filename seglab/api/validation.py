"""``seglab.validate``: what ``seglab validate`` does, from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from seglab.api.data import PathLike, Sets, data_named, one_of, own_errors, path_of, require_values
from seglab.arguments import for_python
from seglab.cli_support import quiet
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from seglab.commands.runs.validation import Validation

PARTS = ("training", "validation", "test", "all")
TTA = ("none", "flips", "symmetries")


class NotScored(NamedTuple):
    """An image that could not be scored: its ``path``, and the ``reason``."""

    path: str
    reason: str


class Scores:
    """The scores of a network at the images' own sizes: means over images, 0 to 1 unless stated otherwise.

    ``dice``, ``iou``, ``sensitivity``, ``specificity``, ``accuracy``: of pixels. ``boundary_iou``, and ``hd95`` in
    pixels (95 % Hausdorff distance): of outlines; None if they were not measured. ``images``: the number of scored
    images. ``failed``: images that could not be scored. ``rows``: the scores of each image. ``summary``: every figure
    by name. ``intervals``: 95 % intervals by name, ``(low, high)``.
    """

    def __init__(self, found: Validation) -> None:
        self.summary: dict[str, float] = found.verdict.summary()
        self.intervals: dict[str, tuple[float, float]] = found.verdict.intervals()
        self.rows: list[dict[str, Any]] = found.verdict.rows()
        self.failed = tuple(NotScored(each.pair.source, each.reason) for each in found.failed)
        self.images = int(self.summary["count"])
        self.dice, self.iou = self.summary["dice"], self.summary["iou"]
        self.sensitivity, self.specificity = self.summary["sensitivity"], self.summary["specificity"]
        self.accuracy = self.summary["accuracy"]
        self.boundary_iou, self.hd95 = self.summary.get("boundary_iou"), self.summary.get("hd95")

    def __repr__(self) -> str:
        return f"Scores(images={self.images}, dice={self.dice:.4f}, iou={self.iou:.4f}, failed={len(self.failed)})"


@for_python("seglab validate", renamed={"split": "split_file"})
def validate(
    checkpoint: PathLike,
    data: Sets | None = None,
    *,
    images: PathLike | None = None,
    masks: PathLike | None = None,
    orientation: str | None = None,
    part: str = "validation",
    split_file: PathLike | None = None,
    tta: str | None = None,
    boundary: bool = True,
    figures: PathLike | None = None,
    report: PathLike | None = None,
    device: str = "auto",
    verbose: bool = False,
) -> Scores:
    """Score a network against truth masks, as ``seglab validate`` does.

    ``checkpoint``: a file, or the folder of a run for its best checkpoint. ``data``: a data set, or a list of them; or
    give two folders, ``images`` and ``masks``; None means the data of the run. ``part``: of the split: ``training``,
    ``validation``, ``test`` or ``all``. ``split_file``: a run's ``split.json``; None means the checkpoint's own split.
    ``tta``: ``none``, ``flips`` or ``symmetries``; None means as the checkpoint says. ``boundary``: whether to measure
    outlines, too. ``figures``: a folder for pictures. ``report``: a file for a page with scores, charts and images.
    ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:K``. ``verbose``: print what the command prints.

    Raises :class:`seglab.errors.CheckpointError` for the checkpoint, :class:`seglab.errors.ConfigError` for wrong
    arguments, :class:`seglab.errors.DataError` for unusable data, and :class:`seglab.errors.MissingDependencyError` if
    torch is not installed.

    >>> import seglab
    >>> seglab.validate("runs/quick").dice  # doctest: +SKIP
    0.8565
    """
    one_of("part", part, PARTS)
    one_of("tta", tta, (None, *TTA))
    require_values(device, {"boundary": boundary, "verbose": verbose})
    named, file = data_named(data, images, masks, orientation), path_of("checkpoint", checkpoint)
    if file is None:
        raise ConfigError("checkpoint is None; expected a checkpoint, or the folder of a run.")
    folder, split, page = path_of("figures", figures), path_of("split_file", split_file), path_of("report", report)
    from seglab.commands.places import require_outputs
    from seglab.commands.runs.validation import PAGE, draw, validate_checkpoint

    with own_errors(), quiet(not verbose):
        require_outputs({"--report": (page, PAGE)})
        found = validate_checkpoint(
            file, named, part=part, split_file=split, tta=tta, boundary=boundary, figures=folder, device=device
        )
        if found.unwritten:
            raise found.unwritten
        draw(found, folder, page)
    return Scores(found)
