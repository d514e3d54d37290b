"""Write ``docs/reference/recipes.md`` and ``docs/explanation/results.md`` from the figures in ``benchmarks/results``.

``python -m docs.tools.lab_pages``. The pages hold no figure that is not in one of these files.
"""

from __future__ import annotations

import json
from typing import Any

import click

from benchmarks.studies.lab import SCALES
from benchmarks.support.places import RESULTS, ROOT
from seglab.files import write_text

RECIPES_PAGE = ROOT / "docs" / "reference" / "recipes.md"
RESULTS_PAGE = ROOT / "docs" / "explanation" / "results.md"
PUBLISHED = {
    "ham10000-smp": "-",
    "isic2018-scratch": "Dice 0.8494, IoU 0.7480 (5 epochs)",
    "isic2016-resnet34": "Dice 0.75 plain, 0.85 pretrained (test)",
    "isic2024-unet": "-",
    "isic2018-task1": "loss 0.3614 training, 0.3658 validation (epoch 4)",
}
RECIPES_HEAD = """# Recipes

<!-- Written by `python -m docs.tools.lab_pages` from benchmarks/results: change the script, not this page. -->

`seglab recipes` lists every recipe, `seglab recipes NAME` its settings, `seglab train SET --recipe NAME` runs it, and
`--set KEY=VALUE` changes [a setting](settings.md). `quick` is a small network for a first run; `package` makes the
bundled network. The five below are published systems. [Pretrained encoders without a model
hub](../how-to/train.md#pretrained-encoders): `--set encoder_weights=package`.

| recipe | what it is | data it names |
| --- | --- | --- |
| `ham10000-smp` | smp networks; DullRazor, pixels scaled to 0-1, elastic, plateau schedule, early stopping | HAM10000 |
| `isic2018-scratch` | U-Net in torch.nn, 256, BCE, Adam 1e-4, batch 8, 5 epochs | ISIC 2018 task 1 |
| `isic2016-resnet34` | U-Net, plain and with a pretrained ResNet34; rotation, BCE + Dice | ISIC 2016 (MedSegBench) |
| `isic2024-unet` | U-Net with a pretrained encoder on any ISIC folder layout | ISIC 2024 layout |
| `isic2018-task1` | U-Net in three phases: training, validation, test | ISIC 2018 task 1 |
"""
CPU_NOTE = """
**These runs are smaller than the recipes.** They were trained on {machine}, with smaller images, narrower networks,
fewer images or fewer epochs, as each command says; MobileNetV2 stands in for ResNet34 where a pretrained encoder is
asked for. They show that every system works and how far it gets with little training. They do not show that a recipe
at its full size beats the published figures.
`python -m benchmarks.studies.lab recipes --scale full` trains them as they are.
"""
RESULTS_HEAD = """# Results of training

<!-- Written by `python -m docs.tools.lab_pages` from benchmarks/results: change the script, not this page. -->

The bundled model has its scores in [its card](../reference/model_card.md).
"""
NETWORKS_HEAD = """
## Networks on one split

The recipe `quick` with one network after another, on the fixed fifth of ISIC 2018, {setting}, one seed. Dice and IoU
at the network's size. **Too little training to rank the networks at their best**: only MobileNetV2 began from
pretrained weights, and differences of a hundredth are noise. EfficientNet from random weights was measured too early:
after few steps its running statistics (momentum 0.01) lag behind, as the gap between its losses shows.
`python -m benchmarks.studies.lab networks --scale full` is the same comparison with all images.
"""
LARGER_HEAD = """
## The bundled network on larger images

The bundled network of an earlier release (192 x 192) was trained further at {size} x {size}, on the images that it had
been trained on: {images} of ISIC 2018 and 2017, {epochs} epochs, on {machine}. Both networks are scored on the same
{scored} images of the fixed fifth of ISIC 2018, at the images' own sizes.
"""
HAIR_HEAD = """
## Does hair removal help?

The recipe `quick` with and without `hair=dullrazor`, two seeds each, on the fixed fifth of ISIC 2018, {setting}.
Scored at the images' own sizes.

![before, the hairs found, after](../hair_removal.jpg)
"""


@click.command()
def main() -> None:
    """Write both pages."""
    write_text(RECIPES_PAGE, recipes_page())
    write_text(RESULTS_PAGE, results_page())


def recipes_page() -> str:
    """Return the page of the recipes: theirs beside ours, data, split and command named."""
    parts = [RECIPES_HEAD]
    for scale, report in _reports("recipes"):
        note = CPU_NOTE.format(machine=report["machine"]) if scale == "cpu" else f"\nOn {report['machine']}.\n"
        rows = [_recipe_row(entry) for entry in report["experiments"]]
        header = ["run", "published", "ours: Dice (95 %)", "IoU", "loss: training, validation", "data, part, split"]
        commands = "\n".join(f"$ {_wrapped(entry['command'])}" for entry in report["experiments"])
        parts += [f"\n## Scale: {scale}\n", note, "\n", _table(header, rows)]
        parts += [
            "\nScores are means over images at their own sizes; losses are the best epoch's, at the network's size.\n"
        ]
        parts += [f"\n```console\n{commands}\n```\n"]
    return "".join(parts)


def results_page() -> str:
    """Return the page of comparisons: networks, hair removal."""
    parts = [RESULTS_HEAD]
    for _, report in _reports("larger"):
        parts += [_larger(report)]
    for _, report in _reports("networks"):
        rows = sorted((_network_row(entry) for entry in report["experiments"]), key=lambda row: row[2], reverse=True)
        parts += [NETWORKS_HEAD.format(setting=_setting(report)), "\n"]
        parts += [_table(["network", "weights", "Dice", "IoU", "loss: training, validation"], rows)]
    for _, report in _reports("hair"):
        entries = report["experiments"]
        parts += [HAIR_HEAD.format(setting=_setting(report)), "\n"]
        parts += [_table(["run", "Dice (95 %)", "IoU"], [_score_row(entry) for entry in entries])]
        parts += [f"\n{_verdict(entries)}\n"]
    return "".join(parts)


def _reports(suite: str) -> list[tuple[str, dict[str, Any]]]:
    files = ((scale, RESULTS / f"lab-{suite}-{scale}.json") for scale in SCALES)
    return [(scale, json.loads(file.read_text())) for scale, file in files if file.exists()]


def _setting(report: dict[str, Any]) -> str:
    """Say what the experiments of a suite have in common: images, epochs, machine."""
    first = report["experiments"][0]
    images, epochs = first["training_images"], len(first["log"])
    return f"{images} training images, {epochs} epochs, at {first['size']} x {first['size']}, on {report['machine']}"


def _recipe_row(entry: dict[str, Any]) -> list[str]:
    best = entry["log"][entry["best_epoch"] - 1]
    data = f"{', '.join(entry['data'])}: {entry['training_images']} train; {entry['scored_images']} of the "
    return [
        entry["name"],
        PUBLISHED[entry["recipe"]],
        _dice(entry),
        f"{entry['scores']['iou']:.4f}",
        f"{best['train_loss']:.4f}, {best['val_loss']:.4f} (epoch {entry['best_epoch']})",
        data + f"{entry['part']} part, split {entry['split']}",
    ]


def _network_row(entry: dict[str, Any]) -> list[str]:
    best = entry["log"][entry["best_epoch"] - 1]
    scores = [f"{best[key]:.4f}" for key in ("val_dice", "val_iou")]
    losses = f"{best['train_loss']:.4f}, {best['val_loss']:.4f}"
    return [entry["name"], f"{entry['weights'] / 1e6:.1f} M", *scores, losses]


def _larger(report: dict[str, Any]) -> str:
    first = report["experiments"][0]
    head = LARGER_HEAD.format(
        images=first["training_images"], epochs=len(first["log"]), machine=report["machine"],
        scored=first["scored_images"], size=first["size"],
    )  # fmt: skip
    rows = [_score_row(row) for entry in report["experiments"] for row in (entry["beside"], entry)]
    gain = first["scores"]["dice"] - first["beside"]["scores"]["dice"]
    commands = "\n".join(f"$ {_wrapped(entry['command'])}" for entry in report["experiments"])
    table = _table(["network", "Dice (95 %)", "IoU"], rows)
    return f"{head}\n{table}\nGain {gain:+.4f} Dice.\n\n```console\n{commands}\n```\n"


def _score_row(entry: dict[str, Any]) -> list[str]:
    return [entry["name"], _dice(entry), f"{entry['scores']['iou']:.4f}"]


def _verdict(entries: list[dict[str, Any]]) -> str:
    """Say what the runs show, from their own figures."""
    means: dict[str, list[float]] = {}
    for entry in entries:
        means.setdefault(entry["name"].partition(",")[0], []).append(entry["scores"]["dice"])
    none, removed = (sum(values) / len(values) for values in (means["hair=none"], means["hair=dullrazor"]))
    spread = max(max(values) - min(values) for values in means.values())
    gain = removed - none
    if abs(gain) <= spread:
        return f"Mean gain {gain:+.4f} Dice, within what another seed changes ({spread:.4f}): no effect is visible."
    effect = "helps" if gain > 0 else "hurts"
    return f"Mean gain {gain:+.4f} Dice, more than what another seed changes ({spread:.4f}): it {effect} here."


def _dice(entry: dict[str, Any]) -> str:
    low, high = entry["intervals"]["dice"]
    return f"{entry['scores']['dice']:.4f} ({low:.4f}-{high:.4f})"


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ["---"] * len(header), *rows])


def _wrapped(command: str) -> str:
    return command.replace(" --set", " \\\n    --set", 1)


if __name__ == "__main__":
    main()
