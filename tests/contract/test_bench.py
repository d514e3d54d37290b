"""``seg-export bench``: how fast models run here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from export.cli import main
from tests.support.artefact import tiny_model


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, words)])


def test_a_table_has_a_row_for_each_way_and_the_reason_for_what_is_not_here(model_file: Path) -> None:
    result = bench(model_file, "--batch", "1,3", "--seconds", "0", "--threads", "1")
    assert result.exit_code == 0, result.output
    head, *rows = result.stdout.splitlines()
    assert head.split()[-4:] == ["batch", "1", "batch", "3"]
    timed = {
        tuple(row.split()[1:3]): [float(rate) for rate in row.split()[3:]] for row in rows if row.startswith("tiny")
    }
    assert {("cpu", "fp32"), ("openvino", "fp32")} <= set(timed)
    assert all(len(rates) == 2 and min(rates) > 0 for rates in timed.values())
    ways = {device for device, _ in timed}
    assert "cuda" in "".join(ways) or any(row.startswith("not timed: tiny.onnx on cuda: ") for row in rows)


def test_figures_of_several_models_as_json(model_file: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other.onnx")
    for to in (tmp_path / "bench.json", tmp_path / "bench.json", "-"):  # its own file it may replace
        result = bench(model_file, other, "--device", "cpu", "--quick", "--json", to)
        assert result.exit_code == 0, result.output
    for values in (json.loads((tmp_path / "bench.json").read_text()), json.loads(result.stdout)):
        assert values["kind"] == "seglab bench"
        found = {entry["model"]: entry["rates"] for entry in values["images_per_second"]}
        assert set(found) == {"tiny.onnx", "other.onnx"}
        assert all(set(rates) == {"1", "4"} for rates in found.values())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--device", "cuda:99"), 1, "Device 'cuda:99' cannot be used: "),
        (("--device", "gpu"), 2, "There is no device 'gpu'; expected auto|cpu"),
        (("--batch", "1,b"), 2, "'1,b' is not a list of batch lengths; expected whole numbers from 1 to 1024"),
        (("--batch", "0"), 2, "'0' is not a list of batch lengths"),
        (("--batch", "100000"), 2, "'100000' is not a list of batch lengths"),
        (("--threads", "0"), 2, "0 is not in the range"),
    ],
)
def test_what_cannot_be_timed_is_refused(model_file: Path, words: tuple[str, ...], code: int, message: str) -> None:
    result = bench(model_file, *words)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("no model")
    result = bench(tmp_path / "no.onnx", "--quick")
    assert result.exit_code == 1
    assert "no.onnx" in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert bench(tmp_path / "absent.onnx").exit_code == 1


def test_a_model_is_not_written_over(model_file: Path) -> None:
    before = model_file.read_bytes()
    result = bench(model_file, "--quick", "--json", model_file)
    assert result.exit_code == 2
    assert "--json is a model that is to be timed" in " ".join(result.stderr.split())
    assert model_file.read_bytes() == before
