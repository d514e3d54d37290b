"""The contract: what a model is and how to feed it, stored in the file as ONNX metadata and bound to its graph.

Every field is a metadata entry ``seglab.<field>`` with a JSON value, so any ONNX viewer shows it. Reading it needs
neither torch nor the ``onnx`` package.
"""

from export.contract.fields import (
    COLOUR_SPACE,
    DIMENSIONS,
    FORMAT_VERSION,
    HAIRLESS,
    INPUT,
    MAKE_ONE,
    MASK,
    PREFIX,
    PROB,
    SUITABLE,
    Contract,
)
from export.contract.reading import Opened, bound, read_contract, read_model

__all__ = [
    "COLOUR_SPACE",
    "DIMENSIONS",
    "FORMAT_VERSION",
    "HAIRLESS",
    "INPUT",
    "MAKE_ONE",
    "MASK",
    "PREFIX",
    "PROB",
    "SUITABLE",
    "Contract",
    "Opened",
    "bound",
    "read_contract",
    "read_model",
]
