"""Open a model from a file and a device's name: read the file, then choose, create and verify."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from export.contract import read_model
from export.errors import ContractError
from export.runtime.choosing import open_fastest
from export.runtime.device import check_asked
from export.runtime.engines.onnxruntime import load
from export.runtime.forks import require_own_process
from export.runtime.model import Model
from export.runtime.plan import Request
from export.runtime.probes import in_file as file_probes


def open_model(
    path: Path | Sequence[Path],
    device: str = "auto",
    *,
    threads: int | None = None,
    batch: int | None = None,
    compute: str | None = None,
    shared: bool = False,
) -> Model:
    """Open a model on a device and verify it there; of several files of one network, the one that is fastest there.

    ``device``: one of ``auto|cpu|openvino|cuda|cuda:K|tensorrt``; ``auto`` takes the fastest of cuda, openvino and cpu
    that verifies. ``threads``: for the CPU (None: the engine's own choice). ``batch``: fixes the batch length of
    :meth:`Model.prob`, which is faster. ``compute``: what float layers are computed in, ``fp32`` or ``bf16``, or
    ``int8`` for an int8 model; None: bf16 if the CPU has it and the model passes its gate in it, on more images than
    for fp32, else fp32. ``shared``: other work runs beside the model, which leaves the cores to it while it waits.

    Verified means: the session has the provider, all convolutions were placed on it, and probe images give the CPU
    provider's probabilities and masks (those stored in the file when it was proved, if it has any) within the tolerance
    of the precision, which ``Model.device.precision`` names. If several devices verify, they are timed for a second;
    the choice is kept in the user's cache folder.

    Raises :class:`export.errors.ContractError`, :class:`export.errors.DeviceError`, and
    :class:`seglab.errors.ConfigError` for an unknown name.
    """
    check_asked(device, compute)
    paths = [path] if isinstance(path, Path) else path
    requests = [
        request_for(each, device, threads=threads, batch=batch, compute=compute, shared=shared) for each in paths
    ]
    return open_fastest(requests, device)


def request_for(
    path: Path,
    device: str,
    *,
    threads: int | None = None,
    batch: int | None = None,
    compute: str | None = None,
    shared: bool = False,
) -> Request:
    """Read a file for opening it; arguments and errors as for :func:`open_model`."""
    require_own_process(device)
    load()  # everything needs it, even reading the contract
    found = read_model(path)
    probes = file_probes.read(found.metadata, found.contract, str(path))
    if probes is None and found.contract.parity and found.contract.format_version >= file_probes.FIRST_FORMAT:
        raise ContractError(
            f"{path} was proved but has no probe images in its metadata, by which a machine checks that it computes "
            "what was proved. They were removed: copy the file again, or export it again."
        )
    return Request(path, found.contract, found.sha256, threads, batch, compute, shared, probes)
