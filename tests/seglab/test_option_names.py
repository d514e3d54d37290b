"""Messages of commands, in the terms of a function."""

from __future__ import annotations

import pickle

import pytest

from export.errors import DeviceError
from seglab.errors import ConfigError
from seglab.option_names import PythonTerms

TRAIN = PythonTerms(
    "seglab train",
    {"data": None, "out": None, "images": None, "masks": None, "resume": False, "inspect": None, "device": "auto",
     "loggers": ()},
    ["lr", "split", "batch", "encoder_weights", "decoder_channels", "init", "compile", "hair"],
    {"logger": "loggers"},
)  # fmt: skip
SAID = {
    "Name another --out.": "Name another out=.",
    "--out runs/a holds a run already.": "out runs/a holds a run already.",
    "two folders: --images DIR --masks DIR.": "two folders: images=DIR masks=DIR.",
    "Add --resume to continue, or leave --resume out.": "Add resume=True to continue, or leave resume out.",
    "--resume a and --out b are two folders": "resume a and out b are two folders",
    "(or --resume RUN, to continue one)": "(or resume=RUN, to continue one)",
    "Use --device cpu.": 'Use device="cpu".',
    "--device cuda:3: torch sees none": 'device="cuda:3": torch sees none',
    "--device is 'x'; expected auto": "device is 'x'; expected auto",
    "or add --inspect off if": 'or add inspect="off" if',
    "--logger wandb needs": 'loggers="wandb" needs',
    "Lower --set batch. Then": "Lower batch=. Then",
    "--set lr=1e-4, or --set split=auto.": 'lr=1e-4, or split="auto".',
    "rate: --set lr=...": "rate: lr=...",
    "Add --set decoder_channels=[]": "Add decoder_channels=[]",
    "--set encoder_weights=": 'encoder_weights=""',
    "(--set init=RUN/best.pt)": '(init="RUN/best.pt")',
    "--set compile=true": "compile=True",
    "Train again: seglab train --resume 'runs/a b' --set lr=0.001": (
        'Train again: seglab.train(resume="runs/a b", lr=0.001)'
    ),
    "expected what `seglab train` wrote": "expected what `seglab.train` wrote",
    "run `seg-batch run` first": "run `seglab.segment` first",
}
SAME = [
    "Use --devices 1.",  # the function has one process only
    "Make one with `seg-export onnx CKPT --out M.onnx`.",
    "(seglab inspect: --lesions ids)",
    "(docker run --shm-size=1g)",
    "as `seglab train --folds 5` wrote",
    "accept it with `seg-batch run --any-dicom`",
    "a--out, x --out-of-it",
    "find photos | seg-batch run -",
    "--json - writes to stdout",
]


@pytest.mark.parametrize("text", SAID)
def test_options_are_named_as_arguments(text: str) -> None:
    assert TRAIN.say(text) == SAID[text]
    assert TRAIN.say(SAID[text]) == SAID[text]


@pytest.mark.parametrize("text", SAME)
def test_what_the_function_does_not_have_stays(text: str) -> None:
    assert TRAIN.say(text) == text


def test_errors_are_said_so_and_stay_what_they_are() -> None:
    with pytest.raises(ConfigError) as caught, TRAIN.errors():
        raise ConfigError("Name another --out.")
    assert str(caught.value) == "Name another out=."
    with pytest.raises(DeviceError) as failed, TRAIN.errors():
        raise DeviceError("cuda", "there is none", "Use --device auto.")
    for error in (failed.value, pickle.loads(pickle.dumps(failed.value))):
        assert str(error) == "Device 'cuda' cannot be used: there is none. Use device=\"auto\"."
    with pytest.raises(ZeroDivisionError, match="--out"), TRAIN.errors():
        raise ZeroDivisionError("--out")
