"""The first screens of the three command lines: every command with its summary, in the order of use."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from batch.cli import main as seg_batch
from export.cli import main as seg_export
from seglab.cli import main as seglab

CLUSTER = "plan run status collect verify clean"
BATCH = "run status report review score compare verify table contours export forget serve doctor cluster"
GROUPS = {
    "seglab": (seglab, "inspect prepare recipes train validate compare card suitable synth"),
    "seg-batch": (seg_batch, BATCH),
    "seg-export": (seg_export, "onnx adopt check info diff bench openvino"),
}


@pytest.mark.parametrize("name", GROUPS)
def test_every_help_fits_80_columns(name: str) -> None:
    group, order = GROUPS[name]
    for command in order.split():
        screen = CliRunner().invoke(group, [command, "--help"], prog_name=name, env={"COLUMNS": "80"}).output
        assert [line for line in screen.splitlines() if len(line) > 80] == [], command


@pytest.mark.parametrize("command", CLUSTER.split())
def test_every_help_of_a_cluster_fits_80_columns(command: str) -> None:
    screen = CliRunner().invoke(seg_batch, ["cluster", command, "--help"], env={"COLUMNS": "80"}).output
    assert "Example: seg-batch cluster" in screen
    assert [line for line in screen.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", GROUPS)
def test_commands_are_in_the_order_of_use_with_whole_summaries(name: str) -> None:
    group, order = GROUPS[name]
    screen = CliRunner().invoke(group, ["--help"], prog_name=name, env={"COLUMNS": "80"}).output
    lines = screen.partition("Commands:\n")[2].splitlines()
    summaries = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert list(summaries) == order.split()
    assert max(map(len, screen.splitlines())) <= 80
    for command, summary in summaries.items():
        assert len(summary) <= 60, command
        assert summary.endswith("."), command
        assert not summary.endswith("..."), command
        begins = " ".join((group.commands[command].help or "").split())
        assert begins.startswith(summary), f"{command}: its help begins with other words"
