"""Possible faults of an exporter, planted in a model, and the check that finds each of them.

A fault is found as the file is opened (contract and graph do not go together), by comparing the stages with the
checkpoint's, or by the gate.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from export.contract import Contract, read_contract
from export.contract.onnx_file import parse
from export.conversion.build import contract_for, segmenter, stages_of
from export.errors import ContractError, DeviceError
from export.graph.writing import write_model
from export.precision.calibration import Calibration
from export.precision.quantise import calibrate, quantise
from export.proof.gate import CHUNK, Original, check
from export.proof.stages import stage_differences
from export.runtime.choosing import open_fastest
from export.runtime.model import Model
from export.runtime.plan import Request
from export.samples import Sample
from seglab.files import sha256
from seglab.networks.build import build_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec
from tests.support.artefact import TINY_SIZE, blobs, tiny_checkpoint
from tests.support.faults_around import AROUND, Fault
from tests.support.faults_within import WITHIN

no_antialias = AROUND["the way in without antialiasing"]
sigmoid_twice = AROUND["the sigmoid twice"]
FAULTS: dict[Fault, set[str]] = {
    AROUND["red and blue change places in the image"]: {"whole.max_prob", "whole.mean_dice", "batch.max_prob"},
    no_antialias: {"whole.max_prob", "whole.flipped", "whole.worst_dice"},
    AROUND["deviation of red 2 % off"]: {"whole.max_prob", "batch.max_prob"},
    AROUND["a mask from 0.4 on"]: {"whole.flipped", "whole.mean_dice", "whole.worst_dice"},
    sigmoid_twice: {"whole.max_prob", "batch.max_prob", "whole.mean_dice"},
    AROUND["the way back with the corners on each other"]: {"whole.flipped", "whole.mean_dice"},
    AROUND["the way back without interpolation"]: {"whole.flipped", "whole.mean_dice"},
    AROUND["the way in without the half-pixel shift"]: {"whole.max_prob", "whole.flipped"},
    AROUND["the way in with the corners on each other"]: {"whole.max_prob", "whole.flipped"},
    WITHIN["convolutions silently in bf16"]: {"whole.max_prob", "whole.mean_prob", "batch.max_prob"},
}
"""Faults that the gate has to find in fp32 if nothing else does, and the figures that have to show each of them."""
NAMES = {fault: name for name, fault in (AROUND | WITHIN).items()}


@functools.cache
def exported(precision: str) -> onnx.ModelProto:
    """Return the model of the tests' tiny network in a precision; whoever changes it changes a copy."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = tiny_checkpoint(Path(folder) / "c.pt")
    if precision != "int8":
        return segmenter([checkpoint], precision)
    rng = np.random.default_rng(9)
    images = np.stack([blobs(rng, TINY_SIZE, TINY_SIZE)[0] for _ in range(16)])
    return quantise(calibrate(segmenter([checkpoint]), Calibration("blobs", images)))


def three_classes() -> Checkpoint:
    """Return the checkpoint of a network of three classes with random weights."""
    torch.manual_seed(5)
    spec = NetworkSpec("unet-scratch", classes=3, options={"widths": [4, 8]})
    names = ("skin", "lesion", "hair")
    return Checkpoint(spec, 32, build_network(spec).state_dict(), class_names=names, sha256="c" * 64)


def pictures() -> list[Sample]:
    """Return the gate's images: three pictures in which the tiny network finds lesions, with truth."""
    rng = np.random.default_rng(5)
    return [Sample(f"{shape}", *blobs(rng, *shape)) for shape in ((150, 203), (91, 64), (64, 64))]


def planted(fault: Fault, source: Path, target: Path) -> Path:
    """Write the model ``source`` with a fault in it, and return its path."""
    model = onnx.load(source)
    fault(model)
    onnx.save(model, target)
    return target


def opened(path: Path, device: str = "cpu") -> Model:
    """Open a model as it is, though its graph may not be what its contract says."""
    contract = Contract.from_metadata(parse(path.read_bytes()).metadata)
    return open_fastest([Request(path, contract, sha256(path), batch=CHUNK)], device)


def found_by(
    fault: Fault, exported: onnx.ModelProto, checkpoint: Checkpoint, original: Original, samples: Sequence[Sample],
    file: Path,
) -> str:  # fmt: skip
    """Plant a fault in an exported graph, write that as ``file``, and return what finds it; empty: nothing does."""
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    fault(model)
    try:
        write_model(model, contract_for([checkpoint]), file)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return "written not at all"
    except ContractError:
        return "opening: precision"
    try:
        read_contract(file)
    except ContractError as error:
        return f"opening: {_field(error)}"
    differing = next(stage_differences(model, stages_of([checkpoint])), None)
    if differing:
        return f"stages: {differing.split(' (')[0].split(' has ')[0]}"
    try:
        report = check(opened(file), original, samples)
    except DeviceError:
        return "opening: does not load"
    figures = ", ".join(dict.fromkeys(failure.figure for failure in report.failures))
    return f"gate: {figures}" if figures else ""


def _field(error: ContractError) -> str:
    """Return what a message is about."""
    found = re.search(r"(?:trusted: |contract's )(.*?) is ", str(error))
    return found[1] if found else str(error)


def restated(model: onnx.ModelProto, checkpoint: Checkpoint, file: Path, **fields: object) -> str:
    """Write a model with a contract that says something else, and return what finds it; empty: nothing does."""
    write_model(model, contract_for([checkpoint]), file)
    written = onnx.load(file)
    for entry in written.metadata_props:
        name = entry.key.removeprefix("seglab.")
        if name in fields:
            entry.value = json.dumps(fields[name])
    onnx.save(written, file)
    try:
        read_contract(file)
    except ContractError as error:
        return f"opening: {_field(error)}"
    return ""


RESTATED: dict[str, dict[str, object]] = {
    "contract: threshold 0.2": {"threshold": 0.2},
    "contract: another size": {"size": 256},
    "contract: mean on 0-255": {"mean": [123.675, 116.28, 103.53]},
    "contract: deviation 2 % off": {"std": [0.23358, 0.22848, 0.2295]},
    "contract: another precision": {"precision": "other"},
    "contract: mirror images": {"tta": "flips"},
    "contract: blue first": {"channels": "bgr"},
    "contract: probabilities": {"output": "probabilities"},
    "contract: hairs removed": {"hair_removal": True},
    "contract: another class": {"lesion_class": 1},
    "contract: another graph": {"graph_sha256": "0" * 64},
}


def variant(checkpoint: Checkpoint, kind: str, classes: Checkpoint) -> Checkpoint:
    """Return the checkpoint with mirror images (``flips``), hair removal (``dullrazor``), or that of ``classes``."""
    if kind == "classes":
        return classes
    return dataclasses.replace(checkpoint, tta=kind) if kind == "flips" else dataclasses.replace(checkpoint, hair=kind)
