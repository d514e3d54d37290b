"""What a foreign network takes: which input, of which type, axis order and number of channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.adoption.untouched import Array, Port, Untouched, shape_text
from export.errors import ContractError
from seglab.errors import ConfigError

Planes = NDArray[np.float32]

TAKEN = ("float32", "float16", "float64", "uint8")
CHANNELS_FIRST, CHANNELS_LAST = "NCHW", "NHWC"
COLOUR, GREY = 3, 1
LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)
"""Weights of red, green and blue in grey (ITU-R BT.601, as in Pillow): exact in fp32 for whole pixels, in any order."""
HALF = 0.5
"""Added before pixels are truncated to whole numbers."""
DOUBT = 2e-3
"""Pixels this close to the middle of two whole numbers may be rounded either way, as resizing rounds, too."""


@dataclass(frozen=True)
class Entry:
    """An input: ``dtype`` by numpy's name, ``layout`` (NCHW or NHWC), ``channels`` (3, or 1 for grey), ``size`` S,
    ``batch``: its length if the file fixes it.
    """

    name: str
    dtype: str
    layout: str
    channels: int
    size: int
    batch: int | None = None

    @property
    def takes_pixels(self) -> bool:
        """Return whether it takes pixels 0-255 that are not normalised."""
        return self.dtype == "uint8"

    def describe(self) -> str:
        """Return type, shape and colours in words."""
        axes = {"N": self.batch or "N", "C": self.channels, "H": self.size, "W": self.size}
        shape = ", ".join(str(axes[axis]) for axis in self.layout)
        return f"{self.dtype} ({shape}), {'colour' if self.channels == COLOUR else 'grey, by luma'}"

    def arrange(self, planes: Planes, graphs: Planes | None = None) -> Array:
        """Return the network's input: ``planes`` ``(3, S, S)``, normalised (or pixels 0-255 if it takes those), in its
        type and axis order, repeated to the length of its batch.

        ``graphs``: the same planes as the graph computes them, which decide where rounding to whole pixels is in doubt.
        """
        if self.takes_pixels:
            rounded = np.floor(planes + np.float32(HALF))
            if graphs is not None:
                doubtful = np.abs(planes - np.floor(planes) - HALF) < DOUBT
                rounded = np.where(doubtful, np.floor(graphs + np.float32(HALF)), rounded)
            planes = np.clip(rounded, 0, 255)
        planes = self._coloured(planes)
        if self.takes_pixels:  # the luma of whole pixels, exact
            planes = np.floor(planes + np.float32(HALF))
        values = planes.astype(self.dtype)
        if self.layout == CHANNELS_LAST:
            values = np.moveaxis(values, 0, 2)
        return np.stack([values] * (self.batch or 1))

    def _coloured(self, planes: Planes) -> Planes:
        """Return planes ``(3, S, S)`` unchanged, or their luma ``(1, S, S)``."""
        if self.channels == COLOUR:
            return planes
        return np.asarray(np.tensordot(np.array(LUMA, np.float32), planes, axes=1)[None], np.float32)


def find_entry(untouched: Untouched, size: int | None) -> Entry:
    """Find out how a network takes images. ``size``: as the user gives it.

    Raises :class:`ContractError` for an input that does not take a photograph, :class:`seglab.errors.ConfigError` if
    the size is missing.
    """
    port = _only_input(untouched)
    source = untouched.source
    if port.dtype not in TAKEN:
        raise ContractError(
            f"The input {port.name!r} of {source} is of type {port.dtype}; expected one of {', '.join(TAKEN)} (float "
            "for float32). Export it with an input of that type."
        )
    if port.shape and len(port.shape) != 4:
        raise ContractError(
            f"The input {port.name!r} of {source} is {shape_text(port.shape)}; expected four axes, (N, 3, S, S) or "
            "(N, S, S, 3). Export it with a batch axis and images only."
        )
    guesses = _guesses(source_name=f"The input {port.name!r} of {source}", port=port)
    sized = [_with_size(untouched, port, guess, size) for guess in guesses]
    return _first_that_runs(untouched, sized)


def _only_input(untouched: Untouched) -> Port:
    if len(untouched.read_inputs) == 1:
        return untouched.read_inputs[0]
    found = "; ".join(map(str, untouched.read_inputs)) or "none"
    raise ContractError(
        f"{untouched.source} has {len(untouched.read_inputs)} inputs ({found}); expected one, for images. Export a "
        "network that takes images only, with the other inputs as constants."
    )


def _guesses(source_name: str, port: Port) -> list[Entry]:
    """Return the layouts and channels that the stated shape allows, the most common first."""
    shape = port.shape or (None,) * 4
    batch = shape[0]
    found = [
        Entry(port.name, port.dtype, layout, channels, 0, batch)
        for layout, axis in ((CHANNELS_FIRST, 1), (CHANNELS_LAST, 3))
        for channels in (COLOUR, GREY)
        if shape[axis] in (channels, None)
    ]
    stated = [entry for entry in found if shape[1 if entry.layout == CHANNELS_FIRST else 3] is not None]
    if stated or found:
        return stated or found
    raise ContractError(
        f"{source_name} is {shape_text(shape)}; expected 3 channels (or 1) in its second or last axis. Export a "
        "network that takes images with red, green and blue."
    )


def _with_size(untouched: Untouched, port: Port, entry: Entry, size: int | None) -> Entry:
    shape = port.shape or (None,) * 4
    height, width = shape[2:4] if entry.layout == CHANNELS_FIRST else shape[1:3]
    what = f"The input {port.name!r} of {untouched.source}"
    if height and width and height != width:
        raise ContractError(
            f"{what} is {height} x {width} (height x width); only square inputs can be adopted. Export the network for "
            f"a square, such as {max(height, width)} x {max(height, width)}."
        )
    stated = height or width
    if stated and size and stated != size:
        raise ContractError(
            f"{what} takes {stated} x {stated} pixels ({shape_text(shape)}), and --size is {size}; expected the "
            f"same. Leave out --size or use --size {stated}."
        )
    known = stated or size
    if not known:
        raise ConfigError(
            f"{what} is {shape_text(shape)}, which allows any size. Add --size S, the height and width that the "
            "network was trained with."
        )
    return dataclasses.replace(entry, size=known)


def _first_that_runs(untouched: Untouched, entries: Sequence[Entry]) -> Entry:
    reasons = []
    for entry in entries:
        try:
            untouched.run(entry.name, entry.arrange(np.zeros((3, entry.size, entry.size), np.float32)))
        except ContractError as error:
            reasons.append(error)
        else:
            return entry
    raise reasons[0]
