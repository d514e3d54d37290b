"""A fixture that traces the graph of each network once per test session; ``tests/conftest.py`` imports it.

Tracing takes seconds, and most tests of what is done with a graph begin with that of one tiny network.
``tests/export/graph/test_trace.py`` holds that the same network gives the same graph each time.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

_traced: dict[str, bytes] = {}


@pytest.fixture(scope="module")
def traced_once() -> Iterator[None]:
    """Let export take the graph of a network that it has traced before, by its parts, weights and size."""
    from export.conversion import build  # which loads torch
    from export.graph.trace import trace

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "trace", remembering(trace))
        yield


def remembering(trace: Callable[..., ModelProto]) -> Callable[..., ModelProto]:
    """Return ``trace``, which gives a copy of what it gave before for an equal network of our own or smp's."""
    from onnx import ModelProto

    from seglab.networks.foreign.programs import Program

    def remembered(network: nn.Module, size: int, **more: bool) -> ModelProto:
        asked = {name: value for name, value in more.items() if value}
        key = None if isinstance(network, Program) else _key(network, size, *asked)  # a program's code is in a file
        if key is None:
            return trace(network, size, **asked)
        if key not in _traced:
            _traced[key] = trace(network, size, **asked).SerializeToString()
        model = ModelProto()
        model.ParseFromString(_traced[key])
        return model

    return remembered


def _key(network: nn.Module, size: int, *asked: str) -> str | None:
    """Return the same text for all networks of the same parts and values; None where they cannot be written down."""
    from torch import Tensor

    class Content(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            if not isinstance(value, Tensor):
                return None
            content = hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()
            return str(value.dtype), tuple(value.shape), content

    written = io.BytesIO()
    try:
        Content(written).dump((network, size, *asked))
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
    return hashlib.sha256(written.getvalue()).hexdigest()
