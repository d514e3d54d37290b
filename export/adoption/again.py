"""The original of an adopted model: the foreign file, fed as the model's contract says."""

from __future__ import annotations

from pathlib import Path

from export.adoption.entry import Entry
from export.adoption.head import Head
from export.adoption.reading import read_network
from export.adoption.reference import Reference
from export.adoption.untouched import Untouched
from export.adoption.values import Kind
from export.adoption.wrapping import Wrapping
from export.contract import Contract
from export.errors import ContractError


def original_of(contract: Contract, source: Path) -> Reference:
    """Open the foreign network ``source`` as the original of an adopted model.

    Raises :class:`ContractError` for a file that is not a network, or not the one that the contract describes.
    """
    try:
        entry = Entry(**contract.adopted["input"])
        head = Head(**contract.adopted["output"])
        kind = Kind(contract.output, float(contract.adopted["scale"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(
            f"The contract does not say how its adopted network is fed ({type(error).__name__}: {error}); expected "
            "what `seg-export adopt` writes. Adopt the network again."
        ) from error
    wrapping = Wrapping(
        contract.mean,
        contract.std,
        contract.channels,
        contract.threshold,
        contract.class_names,
        contract.lesion_class,
        "dullrazor" if contract.hair_removal else "none",
    )
    untouched = Untouched(source, read_network(source), head.name)
    have = {port.name for port in untouched.inputs}, {port.name for port in untouched.outputs}
    if entry.name not in have[0] or head.name not in have[1]:
        raise ContractError(
            f"{source} has no input {entry.name!r} or no output {head.name!r}, which the model uses; expected the "
            f"network that it was adopted from, {contract.adopted.get('from')}. Name that file."
        )
    return Reference(untouched, entry, head, wrapping, kind)
