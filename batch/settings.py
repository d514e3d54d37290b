"""What a run is asked to do."""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.failure_limit import FailureLimit
from batch.naming import DEFAULT_NAME, NameTemplate
from batch.urls import public_url
from export.runtime.device import check_asked
from seglab.errors import ConfigError
from seglab.images.formats import MAX_PIXELS

MASK_RULE = 1
"""Raise this where a new release computes other masks from the same model, so that old ones are done again.

Rounding is no reason: a million masks would be done again for some pixels at borders. Which versions made a mask is in
the ledger, in ``tools`` of its run.
"""
KEY_DIGITS = 16
DEFAULT_MASK_BITS = 8
LABEL_BITS = 8
"""Bits a pixel of label maps, which hold numbers of classes."""
PROB_FORMATS = ("png", "npy")
POSTPROCESSING = ("largest", "fill")


Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One path or text, or several."""


@dataclass(frozen=True)
class RunSettings:
    """Settings of one run over an archive.

    ``sources``: folders, files, archives, patterns, URLs, or ``-``: a tar or a list by standard input; one, or
    several. ``files_from``: lists of files. ``checksum``: know images by SHA-256, not by size and time of change.
    ``out``: folder for masks and ledger; or an archive to be (``.zip``, ``.tar``), or a URL. ``ledger``:
    its folder, where it is not to lie in or beside ``out``. ``device``: one, or several by commas. ``compute``:
    ``fp32``, ``bf16``, or None for what passes its gate.
    ``model``: None means the one that comes with the package.
    ``exact``: whole decode and the graph's own resizing. ``name``: template of mask names. ``mask_bits``: 1 or 8 bits a
    pixel; None means as the output's last run, and 8 where there was none.
    ``postprocess``: steps on masks, ``largest`` and ``fill``. ``overlays``: folder for pictures, or None.
    ``batch``: images a provider call, ``workers``: decoding threads, ``limit``: most images to do in this run;
    ``sample``: images that are drawn at random from all, with ``seed``, and done; the rest is left for later runs;
    ``probs``: folder for probability maps, or None, as
    ``probs_format``, png or npy; ``processes``: that share the work, on each
    device (None: one a core of a CPU, one a GPU); ``max_pixels``: larger images fail before they are
    decoded; ``profile``: file for a trace of all threads;
    ``max_failures``: most that may fail before it gives up, ``20`` or ``5%``; ``zip_encoding``: of names in zips that
    are not marked as UTF-8 (None: UTF-8 if they are, else the system's, else cp437);
    ``any_dicom``: DICOM objects that are no photographs are taken, too; ``timeout``: seconds that one image may take
    before its process is ended. None means chosen by the device,
    the cores, and no limit.

    Raises :class:`ConfigError` for values that cannot be.
    """

    sources: Names
    out: str | Path
    model: Path | None = None
    device: str = "auto"
    compute: str | None = None
    exact: bool = False
    name: str = DEFAULT_NAME
    mask_bits: int | None = None
    overlays: Path | None = None
    batch: int | None = None
    workers: int | None = None
    limit: int | None = None
    files_from: Names = ()
    postprocess: tuple[str, ...] = ()
    max_failures: str | None = None
    ledger: Path | None = None
    profile: Path | None = None
    probs: Path | None = None
    probs_format: str = "png"
    max_pixels: int = MAX_PIXELS
    processes: int | None = None
    checksum: bool = False
    zip_encoding: str | None = None
    any_dicom: bool = False
    timeout: float = 120.0
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._take_paths_and_texts()
        NameTemplate(self.name)
        for device in self.devices:
            check_asked(device, self.compute)
        _require_gpus(self.devices)
        if self.max_failures is not None:
            FailureLimit.of(self.max_failures)
        _require_encoding(self.zip_encoding)
        if not self.sources and not self.files_from:
            raise ConfigError(
                "No source was named; expected folders, image files, archives or patterns. Name at least one."
            )
        if self.mask_bits not in (1, 8, None):
            raise ConfigError(f"Masks of {self.mask_bits} bits were asked for; expected 1 or 8. Correct --mask-bits.")
        if self.probs_format not in PROB_FORMATS:
            raise ConfigError(f"{self.probs_format!r} is no format of maps; expected {' or '.join(PROB_FORMATS)}.")
        self._require_steps_and_numbers()

    def _require_steps_and_numbers(self) -> None:
        for step in self.postprocess:
            if step not in POSTPROCESSING:
                raise ConfigError(
                    f"{step!r} is no step on masks; expected {' or '.join(POSTPROCESSING)}. Correct --postprocess."
                )
        if not self.timeout > 0:
            raise ConfigError(f"timeout is {self.timeout}; expected seconds, more than 0. Correct --timeout.")
        for name in ("batch", "workers", "limit", "max_pixels", "processes", "sample", "seed"):
            value, least = getattr(self, name), 0 if name == "seed" else 1
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}. Correct --{name.replace('_', '-')}.")

    def _take_paths_and_texts(self) -> None:
        for field in ("sources", "files_from"):
            object.__setattr__(self, field, _names(field, getattr(self, field)))
        for field in ("model", "overlays", "ledger", "profile", "probs"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, Path(getattr(self, field)))

    @property
    def source_names(self) -> tuple[str, ...]:
        """The ``sources``, each as a text."""
        return _names("sources", self.sources)

    @property
    def list_names(self) -> tuple[str, ...]:
        """The lists of ``files_from``, each as a text."""
        return _names("files_from", self.files_from)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are named."""
        return tuple(self.device.split(","))

    @property
    def bits(self) -> int:
        """Bits a pixel of masks, where no earlier run decides."""
        return self.mask_bits or DEFAULT_MASK_BITS

    def key(self, model_sha256: str, precision: str) -> str:
        """Return a short hash of all that changes a mask's pixels or file; an image done under another key is redone.

        The device is not in it, its precision is: the same precision on another device gives the same mask but for
        rounding, another precision does not. Names are not in it: an output folder keeps the template it began with.
        """
        decisive = [MASK_RULE, model_sha256, precision, self.exact, self.bits, *self.postprocess]
        if self.any_dicom:  # its images are other pixels, or none; the keys of runs without it stay what they were
            decisive.append("any_dicom")
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:KEY_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as the ledger keeps them: without what lets somebody in at a URL."""
        return {name: _kept(value) for name, value in vars(self).items()}


def _kept(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_kept, value))
    return public_url(str(value)) if isinstance(value, (str, Path)) else value


def _names(field: str, value: object) -> tuple[str, ...]:
    """Return what names files as texts: one of them, or a sequence. Raises :class:`ConfigError` for anything else."""
    entries = [value] if isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable) else value
    try:
        names = tuple(map(os.fsdecode, entries))
    except TypeError as error:
        shown = reprlib.repr(value)  # it may be pixels
        raise ConfigError(f"{field} is {shown}; expected paths or texts, one or several. Correct it.") from error
    if "" in names:
        raise ConfigError(f"{field} has an empty text; expected a path. '.' is the folder here.")
    return names


def _require_gpus(devices: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if several devices are named and one of them is not a GPU by its number."""
    others = [device for device in devices if not device.startswith("cuda:")]
    if len(devices) > 1 and others:
        raise ConfigError(
            f"--device {','.join(devices)} names several devices; expected one, or several GPUs by their numbers "
            "(cuda:0,cuda:1). Name one device."
        )


def _require_encoding(name: str | None) -> None:
    """Raise :class:`ConfigError` for what is no encoding of texts."""
    if name is None:
        return
    try:
        b"a".decode(name, "surrogateescape")
    except (LookupError, ValueError) as error:  # unknown, or no encoding of texts; a zero byte
        raise ConfigError(
            f"{name!r} is no encoding of names; expected one like gbk, cp866, cp932 or utf-8. Correct --zip-encoding."
        ) from error
