"""TorchScript and torch.export files: networks that are run as they are."""

from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seglab.errors import CheckpointError
from seglab.networks.foreign.found import SCRIPT

MAIN = ("out", "logits", "masks", "mask", "output", "pred", "prediction", "seg")
"""Names of the output to use where there are several."""
FORMULA = re.compile(r"(?:(?!__)(?:[A-Z]\w*\(|'\w+'|\w+(?!\w*\()|[\s()+\-*/,<>=&|~%]))*")
"""Pattern of a harmless size formula: classes of sympy, names, numbers. Its reader would execute anything else."""
SAVE_AGAIN = "Save it again where its code is, in evaluation mode (model.eval())"
THROUGH_ONNX = "or export it to ONNX there, and take that with `seg-export adopt NET.onnx`"
ALONE = 1e-3
"""Largest change of values when another image is in the same batch."""


class Program(nn.Module):
    """A network from a file: normalised images, float ``(N, 3, S, S)``, to ``(N, C, S, S)``.

    ``kind``: ``torchscript`` or ``torch.export``. ``output``: names and indices that lead to the output to use; empty
    where there is only one. An output of another size is resized, and one without channels gets one.
    """

    def __init__(self, module: Any, kind: str, output: tuple[str | int, ...] = ()) -> None:
        super().__init__()
        self.module, self.kind, self.output = module, kind, output

    def forward(self, image: Tensor) -> Tensor:
        """Return the output to use, at the image's height and width."""
        given = self.module(image)
        for step in self.output:
            given = given[step]
        given = given.unsqueeze(1) if given.dim() == 3 else given  # (N, C, h, w)
        if given.shape[-2:] != image.shape[-2:]:
            given = functional.interpolate(given.float(), image.shape[-2:], mode="bilinear", align_corners=False)
        result: Tensor = given.float()
        return result  # (N, C, S, S)


def open_program(path: Path, kind: str, output: tuple[str | int, ...] = ()) -> Program:
    """Open a file of either kind, in evaluation mode, fp32, on the CPU.

    Raises :class:`CheckpointError` for a damaged file, and for a torch.export file with Python objects, whose code
    opening it would run.
    """
    if kind != SCRIPT:
        _require_plain(path)
    with _quiet():
        try:
            module = _script(path) if kind == SCRIPT else _exported(path)
        except Exception as error:  # torch's readers raise errors of many kinds
            raise CheckpointError(
                f"{path} cannot be opened as {'TorchScript' if kind == SCRIPT else 'a torch.export file'} "
                f"({type(error).__name__}: {_short(error)}); expected a whole file, of this release of torch or an "
                "earlier "
                f"one. Copy it again, or save it again."
            ) from error
    return Program(module, kind, output)


def own_size(path: Path) -> int | None:
    """Return S of a torch.export file that takes only images of S x S; None where it takes other sizes, too.

    Raises :class:`CheckpointError` for a file that takes only rectangles.
    """
    with _quiet():
        try:
            program = torch.export.load(path)
        except Exception:  # open_program reports it
            return None
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    shape = tuple(inputs[0].meta["val"].shape) if inputs and "val" in inputs[0].meta else None
    if shape is None or len(shape) != 4:
        return None
    height, width = shape[2:]
    if not (isinstance(height, int) and isinstance(width, int)):
        return None
    if height != width:
        raise CheckpointError(
            f"{path} takes images of {height} x {width} pixels only; expected a square. Save it again for a square, or "
            "with free sides."
        )
    return height


@torch.inference_mode()
def main_output(program: Program, path: Path, size: int) -> tuple[tuple[str | int, ...], int, tuple[str, ...]]:
    """Run a program on an image of S x S; return the path to the output to use, its number of classes, and notes.

    Raises :class:`CheckpointError` where it does not take such images, where no output is a segmentation, or where the
    result of an image depends on other images of its batch, as in training mode.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, size, size, generator=generator)
    given = _run(program, path, images[:1], size)
    outputs = list(_outputs(given, ()))
    if not outputs:
        raise CheckpointError(
            f"{path} gives {_kinds(given)} for an image of {size} x {size}; expected logits or probabilities (N, C, "
            "height, "
            f"width). {SAVE_AGAIN} with that alone, {THROUGH_ONNX}."
        )
    way, value = min(outputs, key=lambda entry: _rank(entry, size))
    notes = []
    if len(outputs) > 1:
        names = ", ".join(_name(other) for other, _ in outputs)
        notes.append(f"of its outputs {names} the first of that size, {_name(way)}, is taken" if not _is_named(way)
                     else f"of its outputs {names}, {_name(way)} is taken")  # fmt: skip
    if value.shape[-2:] != (size, size):
        notes.append(f"its output of {value.shape[-2]} x {value.shape[-1]} is enlarged to {size} x {size}")
    program.output = way
    _require_independent(program, path, images)
    return way, int(value.shape[1]) if value.dim() == 4 else 1, tuple(notes)


def _script(path: Path) -> Any:
    module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return module.eval().float()


def _exported(path: Path) -> Any:
    exported = torch.export.load(path)
    module = exported.module()
    # Its guards only check the batch size at export. Whether the network supports others shows in its outputs.
    module._forward_pre_hooks.clear()
    if hasattr(module, "_guards_fn"):
        _without_guards(module)
    return module.float()


def _without_guards(module: Any) -> None:
    for node in list(module.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            module.graph.erase_node(node)
    module.recompile()


def _require_plain(path: Path) -> None:
    """Raise :class:`CheckpointError` for a torch.export file with content whose code opening it would run."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                inner = name.partition("/")[2]
                if re.search(r"(^|/)(custom|opaque)_obj", inner):
                    _refuse_objects(path, inner)
                if inner.endswith(".json") and inner.startswith(
                    ("models/", "data/weights", "data/constants", "serialized")
                ):
                    _require_plain_values(path, inner, json.loads(archive.read(name)))
                if inner.endswith(".pt"):
                    _require_tensors(path, inner, archive.read(name))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path} is a damaged torch.export file ({error}); expected a whole one. Copy it again."
        ) from error


def _require_plain_values(path: Path, name: str, values: Any) -> None:
    if isinstance(values, Mapping):
        if values.get("use_pickle"):
            _refuse_objects(path, name)
        formula = values.get("expr_str", "")
        if isinstance(formula, str) and not FORMULA.fullmatch(formula):
            _refuse_objects(path, f"the formula {formula[:40]!r}")
        for value in values.values():
            _require_plain_values(path, name, value)
    elif isinstance(values, list):
        for value in values:
            _require_plain_values(path, name, value)


def _require_tensors(path: Path, name: str, data: bytes) -> None:
    try:
        if data:
            torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # it is never opened in another way
        raise _objects(path, name) from error


def _refuse_objects(path: Path, name: str) -> None:
    raise _objects(path, name)


def _objects(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path} holds Python objects ({name}), which opening it would run; expected a torch.export file of tensors "
        "and "
        f"operators alone. {SAVE_AGAIN}, {THROUGH_ONNX}."
    )


def _run(program: Program, path: Path, images: Tensor, size: int) -> Any:
    try:
        with _quiet():
            return program.module(images)
    except Exception as error:  # a program raises errors of many kinds
        raise CheckpointError(
            f"{path} does not take float images ({len(images)}, 3, {size}, {size}): {_short(error)}. Check --size, "
            "and that "
            f"it takes RGB. {SAVE_AGAIN}, with a free batch axis, {THROUGH_ONNX}."
        ) from error


def _require_independent(program: Program, path: Path, images: Tensor) -> None:
    alone = program(images[:1])
    try:
        with _quiet():
            together = program(images)
    except Exception:  # the batch axis is fixed: the exporter frees it or reports it
        return
    if together.shape[0] == 2 and float((together[:1] - alone).abs().max()) > ALONE * max(
        1.0, float(alone.abs().max())
    ):
        raise CheckpointError(
            f"{path} gives an image another result when a second one is beside it; expected a network in evaluation "
            "mode. "
            f"{SAVE_AGAIN}."
        )


def _outputs(given: Any, way: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Tensor]]:
    """Yield outputs that can be a segmentation, ``(1, C, h, w)`` or ``(1, h, w)``, with the path to each."""
    if isinstance(given, Tensor):
        if (given.dim() == 4 or (given.dim() == 3 and min(given.shape[1:]) > 1)) and given.is_floating_point():
            yield way, given
    elif isinstance(given, Mapping):
        for key, value in given.items():
            yield from _outputs(value, (*way, key))
    elif isinstance(given, list | tuple):
        for index, value in enumerate(given):
            yield from _outputs(value, (*way, index))


def _rank(entry: tuple[tuple[str | int, ...], Tensor], size: int) -> tuple[int, int]:
    way, value = entry
    last = way[-1] if way else ""
    return (MAIN.index(str(last)) if last in MAIN else len(MAIN)), -int(value.shape[-1]) if value.shape[
        -1
    ] <= size else 0


def _is_named(way: tuple[str | int, ...]) -> bool:
    return bool(way) and way[-1] in MAIN


def _name(way: tuple[str | int, ...]) -> str:
    return ".".join(map(str, way)) or "the only one"


def _kinds(given: Any) -> str:
    if isinstance(given, Tensor):
        return f"a tensor {tuple(given.shape)} of {str(given.dtype).removeprefix('torch.')}"
    if isinstance(given, Mapping | list | tuple):
        return f"a {type(given).__name__} of {len(given)} entries, none of them an image"
    return f"a {type(given).__name__}"


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next(
        (line for line in reversed(lines) if "Error" in line or "xpected" in line), lines[-1] if lines else "no reason"
    )
    return telling[:200].rstrip(".")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress torch's warnings about its own formats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
