"""Wrong arguments of the functions for Python: each is answered with a sentence, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seglab
from batch.errors import SourceError
from export.errors import ContractError, DeviceError
from seglab.errors import CheckpointError, ConfigError, DataError, SeglabError
from tests.support.archive import save

WRONG: dict[str, tuple[Callable[..., object], type[SeglabError], str]] = {
    "load: keyword": (lambda: seglab.load(devise="cpu"), ConfigError, "no argument 'devise'. Did you mean device"),  # type: ignore[call-arg]
    "load: type": (lambda: seglab.load(device=3), ConfigError, "device is 3; expected auto"),  # type: ignore[arg-type]
    "load: no file": (lambda: seglab.load("none.onnx"), ContractError, "none.onnx does not exist; expected a model"),
    "load: device": (lambda: seglab.load(device="gpu"), ConfigError, "gpu"),
    "segment: keyword": (
        lambda: seglab.segment("photos", out="m", overlay="o"),  # type: ignore[call-arg]
        ConfigError, "segment.. has no argument 'overlay'. Did you mean overlays",
    ),
    "segment: type": (
        lambda: seglab.segment("photos", out="m", limit="3"),  # type: ignore[arg-type]
        ConfigError, "limit is '3'; expected a whole number, or None",
    ),
    "segment: switch": (
        lambda: seglab.segment("photos", out="m", exact=1),  # type: ignore[arg-type]
        ConfigError, "exact is 1; expected True or False",
    ),
    "segment: value": (lambda: seglab.segment("photos", out="m", batch=0), ConfigError, "batch is 0; expected at"),
    "segment: out": (lambda: seglab.segment("photos", out=None), ConfigError, "out is None; expected a path"),  # type: ignore[arg-type]
    "segment: empty": (lambda: seglab.segment("photos", out=""), ConfigError, "out is ''; expected a path"),
    "segment: seed": (lambda: seglab.segment("photos", out="m", seed=3), ConfigError, "seed was given without sample"),
    "segment: sources": (lambda: seglab.segment(3, out="m"), ConfigError, "sources is 3; expected a path or a string"),  # type: ignore[arg-type]
    "segment: no folder": (lambda: seglab.segment("nowhere", out="m"), SourceError, "nowhere does not exist"),
    "segment: model": (lambda: seglab.segment("photos", out="m", model="x.onnx"), SeglabError, "x.onnx does not exist"),
    "segment: nothing": (lambda: seglab.segment("photos"), ConfigError, "out is missing; expected segment"),  # type: ignore[call-arg]
    "segment: places": (
        lambda: seglab.segment("photos", "m", "cpu"),  # type: ignore[call-arg,arg-type]
        ConfigError, "segment.. got 3 positional arguments; expected sources, out",
    ),
    "segment: twice": (
        lambda: seglab.segment("photos", "m", out="m"),  # type: ignore[misc]
        ConfigError, "out is given twice",
    ),
    "segment: progress": (
        lambda: seglab.segment("photos", out="m", progress=3),  # type: ignore[arg-type]
        ConfigError, "progress is 3; expected a function that takes a result, or None",
    ),
    "segment: pixels": (
        lambda: seglab.segment(np.zeros((9, 9, 3)), out="m"),  # type: ignore[arg-type]
        ConfigError, "sources is .{1,40}; expected a path or a string",
    ),
    "segment: no name": (lambda: seglab.segment(["photos", ""], out="m"), ConfigError, "has an empty string; expected"),
    "segment: option": (lambda: seglab.segment("photos", out="m", mask_bits=3), ConfigError, "8. Correct mask_bits="),
    "segment: address": (
        lambda: seglab.segment("photos", out="m", model="https://a.org/m.onnx"),
        ConfigError, "model is 'https://a.org/m.onnx'; expected a path, or None",
    ),
    "segment: no model": (
        lambda: seglab.segment("photos", out="m", model="x.onnx"), ContractError, "x.onnx does not exist"
    ),
    "segment: no device": (
        lambda: seglab.segment("photos", out="m", device="cuda:99"), DeviceError, "Device 'cuda:99' cannot be used"
    ),
    "train: device": (lambda: seglab.train("set", out="r", device=7), ConfigError, "device is 7; expected auto, cpu"),  # type: ignore[arg-type]
    "train: verbose": (lambda: seglab.train("set", out="r", verbose=2), ConfigError, "verbose is 2; expected True or"),  # type: ignore[arg-type]
    "train: loggers": (lambda: seglab.train("set", out="r", loggers="x"), ConfigError, "loggers is 'x'; expected"),
    "train: recipe type": (lambda: seglab.train("set", out="r", recipe=5), ConfigError, "recipe is 5; expected a path"),  # type: ignore[arg-type]
    "train: address": (
        lambda: seglab.train("https://a.org/set.zip", out="r"),
        ConfigError, "data is 'https://a.org/set.zip'; expected a path, not a URL. Download it first",
    ),
    "train: quantise": (
        lambda: seglab.train("set", out="r", quantise="int8"), ConfigError, 'then add init="RUN/best.pt"'
    ),
    "train: two folders": (lambda: seglab.train(out="q", resume="r"), ConfigError, "resume r and out q are different"),
    "validate: nothing": (lambda: seglab.validate(), ConfigError, "checkpoint is missing; expected validate"),  # type: ignore[call-arg]
    "validate: device": (lambda: seglab.validate("r", device=None), ConfigError, "device is None; expected auto, cpu"),  # type: ignore[arg-type]
    "validate: switch": (lambda: seglab.validate("r", boundary="no"), ConfigError, "boundary is 'no'; expected True"),  # type: ignore[arg-type]
    "load: places": (lambda: seglab.load(None, "cpu", 2), ConfigError, "load.. got 3 positional arguments"),  # type: ignore[call-arg]
    "load: option": (lambda: seglab.load(device="cuda:99"), DeviceError, "Device 'cuda:99' cannot be used"),
    "train: keyword": (lambda: seglab.train("set", out="r", epoch=3), ConfigError, "'epoch'. Did you mean epochs"),
    "train: own keyword": (lambda: seglab.train("set", ot="r"), ConfigError, "'ot'. Did you mean out"),
    "train: type": (lambda: seglab.train("set", out="r", epochs="3"), ConfigError, "epochs is '3'; expected a whole"),
    "train: none": (lambda: seglab.train("set", out="r", lr=None), ConfigError, "lr is None; expected a string, a"),
    "train: value": (lambda: seglab.train("set", out="r", lr=-1), ConfigError, "lr is -1.0; expected more than 0"),
    "train: no out": (lambda: seglab.train("set"), ConfigError, "out is missing; expected the folder of the run"),
    "train: empty": (lambda: seglab.train("", out="r"), ConfigError, "data is ''; expected a path"),
    "train: no data": (lambda: seglab.train(out="r"), ConfigError, "No data"),
    "train: no folder": (lambda: seglab.train("nowhere", out="r"), DataError, "nowhere is not a folder"),
    "train: recipe": (lambda: seglab.train("set", out="r", recipe="quik"), ConfigError, "Did you mean quick"),
    "train: hours": (lambda: seglab.train("set", out="r", hours=0), ConfigError, "hours is 0; expected a number above"),
    "train: inspect": (lambda: seglab.train("set", out="r", inspect="no"), ConfigError, "inspect is 'no'; expected"),
    "train: resume": (lambda: seglab.train(resume=True), ConfigError, "resume is True and out is missing"),
    "train: no run": (lambda: seglab.train(resume="r"), ConfigError, "last.pt does not exist"),
    "train: masks": (lambda: seglab.train(images="i", out="r"), ConfigError, "expected both or neither"),
    "validate: keyword": (lambda: seglab.validate("r", prt="all"), ConfigError, "'prt'. Did you mean part"),  # type: ignore[call-arg]
    "validate: part": (lambda: seglab.validate("r", part="al"), ConfigError, "part is 'al'; expected one of training"),
    "validate: type": (lambda: seglab.validate(3), ConfigError, "checkpoint is 3; expected a path"),  # type: ignore[arg-type]
    "validate: no file": (lambda: seglab.validate("r/best.pt"), CheckpointError, "best.pt does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_answered_with_a_sentence(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("photos/a.png"))
    call, error, sentence = WRONG[case]
    with pytest.raises(error, match=sentence) as caught:
        call()
    assert not re.search(r"(?<!\S)--[a-z]", re.sub("`[^`]*`", "", str(caught.value)))  # arguments have no dashes
    assert {path.name for path in tmp_path.iterdir()} <= {"photos", "m"}
    assert not list(tmp_path.glob("m/*.png"))
