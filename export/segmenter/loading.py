"""``seglab.load``: open a model from Python."""

from __future__ import annotations

import os

from export.segmenter.segmenter import Segmenter
from seglab.arguments import for_python


@for_python("seg-batch run")
def load(
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
    *,
    threads: int | None = None,
    compute: str | None = None,
    exact: bool = False,
) -> Segmenter:
    """Open a model. Call it with an image to get its lesion.

    ``model``: a file that ``seg-export`` wrote; None is the model that comes with the package. ``device``: ``auto``,
    ``cpu``, ``openvino``, ``cuda``, ``cuda:K`` or ``tensorrt``. ``threads``: on the CPU; None lets the engine choose.
    ``compute``: ``fp32``, ``bf16`` or ``int8``; None takes the fastest that passes its gate. ``exact``: resize inside
    the graph, which is the reference, and slower.

    Raises :class:`export.errors.ContractError` for a file that does not exist or is not a model,
    :class:`export.errors.DeviceError` for a device that cannot be used, and :class:`seglab.errors.ConfigError` for
    other wrong arguments.

    >>> import seglab
    >>> from seglab.synth import synthesise
    >>> model = seglab.load(device="cpu", compute="fp32")
    >>> photo = synthesise(300, 400, seed=3).image  # uint8 (300, 400, 3), RGB
    >>> lesion = model(photo)
    >>> lesion.mask.shape, str(lesion.mask.dtype), lesion.box is not None
    ((300, 400), 'uint8', True)
    >>> 0 <= lesion.confidence <= 1, lesion.area == int((lesion.mask == 255).sum())
    (True, True)
    >>> lesion.overlay().size
    (400, 300)
    >>> [each.mask.shape for each in model([photo, photo[:200]])]
    [(300, 400), (200, 400)]
    """
    return Segmenter(model, device, threads=threads, compute=compute, exact=exact)
