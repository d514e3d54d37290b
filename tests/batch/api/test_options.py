"""The keyword arguments of ``seglab.segment`` are the settings of a run."""

from __future__ import annotations

import dataclasses

from batch.api.options import KINDS, RunOptions
from batch.commands.run import run
from batch.settings import RunSettings

FIELDS = {field.name for field in dataclasses.fields(RunSettings)}
OF_THE_COMMAND_ALONE = {"dry_run", "as_json", "table", "contours", "timing", "no_report", "no_pictures"}


def test_every_setting_of_a_run_is_an_option() -> None:
    assert set(RunOptions.__annotations__) == FIELDS - {"sources", "out"}
    assert set(KINDS) == FIELDS


def test_every_option_of_the_command_is_one() -> None:
    assert {option.name for option in run.params} - OF_THE_COMMAND_ALONE == FIELDS


def test_defaults_are_those_of_the_command() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(RunSettings)}
    for option in run.params:
        if option.name in ("device", "name", "max_pixels", "timeout", "probs_format"):
            assert option.default == defaults[option.name], option.name
