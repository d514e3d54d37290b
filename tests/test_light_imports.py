"""What a box without torch relies on: light imports, and help that answers without opening anything."""

from __future__ import annotations

import importlib
import json
import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("matplotlib", "onnx", "onnxscript", "segmentation_models_pytorch", "timm", "torch", "torchvision")
TORCH_FREE = {
    "seglab": (
        "api.training",
        "api.validation",
        "cli",
        "cli_support",
        "data.collection",
        "data.checking.inspection",
        "data.finding.layouts",
        "data.pairs",
        "data.splits",
        "data.store",
        "errors",
        "metrics.bootstrap",
        "metrics.boundary",
        "evaluation.compare",
        "evaluation.gallery",
        "metrics.overlap",
        "files",
        "images.hair",
        "images.outlines",
        "images.reader",
        "recipes.recipe",
        "synth",
        "training.run_folder",
    ),
    "export": (
        "cli",
        "contract",
        "errors",
        "runtime.bundled",
        "runtime.inspection",
        "runtime.opening",
        "segmenter.loading",
        "segmenter.segmenter",
    ),
}
COMMANDS = {"seglab": "seglab.cli", "seg-export": "export.cli", "seg-batch": "batch.cli"}

IMPORT = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
"""
HELP = """
import importlib, json, sys
main = importlib.import_module(sys.argv[1]).main
sys.argv = sys.argv[2:]
try:
    main()
except SystemExit as done:
    assert done.code == 0, done.code
"""
LOADED = "\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"


def python(root: Path, code: str, *arguments: str) -> tuple[str, set[str]]:
    """Run code in a fresh interpreter; return its stdout and the names of the modules it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", code + LOADED, *arguments], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def batch_modules(root: Path) -> list[str]:
    files = (path.relative_to(root).with_suffix("") for path in sorted((root / "batch").rglob("*.py")))
    return [".".join(file.parts).removesuffix(".__init__") for file in files if file.name != "__main__"]


def test_importing_the_batch_command_line_loads_no_torch(repo_root: Path) -> None:
    _, loaded = python(repo_root, IMPORT, json.dumps(["batch.cli"]))
    assert loaded.isdisjoint({*HEAVY, "onnxruntime"})


def test_no_module_of_batch_loads_torch(repo_root: Path) -> None:
    names = batch_modules(repo_root)
    assert "batch.cli" in names
    _, loaded = python(repo_root, IMPORT, json.dumps(names))
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("package", TORCH_FREE)
def test_the_torch_free_modules_load_no_torch(repo_root: Path, package: str) -> None:
    _, loaded = python(repo_root, IMPORT, json.dumps([f"{package}.{name}" for name in TORCH_FREE[package]]))
    assert loaded.isdisjoint(HEAVY)


def test_seglab_knows_nothing_of_the_layers_above(repo_root: Path) -> None:
    _, loaded = python(repo_root, IMPORT, json.dumps([f"seglab.{name}" for name in TORCH_FREE["seglab"]]))
    assert not {name for name in loaded if name.split(".")[0] in {"export", "batch"}}


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_heavy_imports(repo_root: Path, command: str, flag: str) -> None:
    stdout, loaded = python(repo_root, HELP, COMMANDS[command], command, flag)
    assert stdout.startswith(f"Usage: {command} ")
    assert loaded.isdisjoint({*HEAVY, "onnxruntime"})


SUBCOMMANDS = [
    (command, name)
    for command, module in COMMANDS.items()
    for name in sorted(importlib.import_module(module).main.commands)
]


@pytest.mark.parametrize(("command", "subcommand"), SUBCOMMANDS)
def test_every_subcommand_helps_without_heavy_imports(repo_root: Path, command: str, subcommand: str) -> None:
    stdout, loaded = python(repo_root, HELP, COMMANDS[command], command, subcommand, "--help")
    assert stdout.startswith(f"Usage: {command} {subcommand} ")
    assert loaded.isdisjoint({*HEAVY, "onnxruntime"})


@pytest.mark.parametrize("package", ["seglab", "export", "batch"])
def test_every_file_of_a_subcommand_is_in_use(repo_root: Path, package: str) -> None:
    commands = importlib.import_module(f"{package}.cli").main.commands
    folder = repo_root / package / "commands"
    files = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/group.py")}
    files -= {"__init__", "checks", "common", "feeding", "foreign", "places", "progress_lines"}  # what subcommands use
    files -= {"score_table", "tables"}
    assert files == set(commands)


def test_what_a_run_loads_before_its_processes_start_is_light() -> None:
    """They load numpy and the decoders themselves, side by side; this one only walks and keeps the ledger."""
    script = "import sys, batch.running.runner; print([name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ["numpy", "cv2", "PIL", "asyncio", "fsspec", "onnxruntime"]
    ended = subprocess.run([sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


ABSENT = (
    "torch",
    "lightning",
    "segmentation_models",
    "timm",
    "tensorboard",
    "matplotlib",
    "onnx",
    "safetensors",
)


@pytest.fixture(scope="module")
def light(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an interpreter that has what `pip install .` brings, and nothing of `.[train]`."""
    packages = tmp_path_factory.mktemp("packages")
    for folder in {Path(place) for place in site.getsitepackages()}:
        for entry in folder.iterdir():
            is_light = entry.name.startswith("onnxruntime") or not entry.name.lower().startswith(ABSENT)
            if is_light and entry.suffix != ".pth" and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
    return {"PYTHONPATH": f"{repo_root}{os.pathsep}{packages}", "PATH": os.environ["PATH"]}


@pytest.mark.parametrize("command", sorted(importlib.import_module("seglab.cli").main.commands))
def test_without_torch_a_command_works_or_says_what_to_install(
    light: dict[str, str], tmp_path: Path, synth_root: Path, command: str
) -> None:
    run, words = str(tmp_path), str(synth_root)
    calls = {
        "train": ["--data", words, "--out", run],
        "validate": [run, "--data", words],
        "suitable": [run, "--data", words],
        "inspect": [words],
        "compare": [run, "--out", run],
        "prepare": [words, "--out", run, "--size", "16"],
        "synth": ["--out", run, "--count", "1", "--size", "32x32"],
        "recipes": [],
        "card": [run],
    }
    if command in ("compare", "card"):
        (tmp_path / "settings.json").write_text(json.dumps({"recipe": {"epochs": 1}}))
        (tmp_path / "log.csv").write_text("epoch,train_loss,val_loss,val_dice,val_iou,lr\n1,1,1,0.5,0.4,0.001\n")
    module = [sys.executable, "-S", "-W", "error", "-m", "seglab.cli"]
    done = subprocess.run([*module, command, *calls[command]], capture_output=True, text=True, check=False, env=light)
    if command not in ("compare", "train", "validate", "suitable"):
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert "pip install 'seglab[train]'" in line
