"""What a page says of the model, the settings, the device and the versions of a run, from the ledger alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import PurePath
from typing import Any

from batch.errors import printable
from batch.ledger.records import CLASS_NAMES, CONFIDENCE_BY, CONTRACT, RunRecord, in_words
from batch.reporting.makers import Makers
from batch.reporting.pages.texts import short_text
from seglab.pages.page import Facts, Listing, Section
from seglab.words import counted

NOT_SETTINGS = {CLASS_NAMES, CONFIDENCE_BY, CONTRACT, "model", "device"}
PATHS = {"sources", "files_from", "name", "out", "ledger", "overlays", "probs", "profile"}
"""Settings that may name people, or that do not hold: pseudonyms are whole names."""
NAMES_SHOWN = 3
FEEDS = {"whole": "whole images", "batch": "batches", "host": "resized by this tool"}
"""Ways to feed a model, as its parity figures name them."""


def model_section(makers: Makers, *, is_nameless: bool = False) -> Section:
    """Return the part of a page about the model that made the masks last, and how well it was proved.

    ``is_nameless``: without the names of the images that it was trained and proved on.
    """
    run = makers.last_run
    if run is None:
        return Section("Model", "No run is recorded.")
    rows = dict(_model_rows(run, is_nameless))
    parity = run.contract.get("parity")
    if not isinstance(parity, dict) or not parity:
        return Section("Model", "No parity figures are recorded with this run.", facts=Facts(rows))
    listing = _parity_listing(parity.get("figures"))
    return Section(
        "Model", facts=Facts(rows | dict(_parity_rows(parity, is_nameless))), listings=[listing] if listing.rows else []
    )


def run_section(run: RunRecord, *, is_nameless: bool = False) -> Section:
    """Return the part of a page about a run: settings, device, versions. ``is_nameless``: no paths."""
    summary = run.summary
    rows = {"began": moment(run.started_at), "ended": moment(run.finished_at) if run.finished_at else "not recorded"}
    if summary.get("seconds") is not None:
        rows["time"] = f"{summary['seconds']:,.1f} s, {summary.get('images_per_second', 0):,} images/s"
    rows["device"] = printable(f"{run.device} ({run.provider}, {run.precision})")
    rows |= {name.replace("_", " "): text for name, text in _settings(run.settings, PATHS if is_nameless else set())}
    rows["versions"] = short_text(", ".join(f"{name} {version}" for name, version in sorted(run.tools.items())))
    return Section("Run and settings", facts=Facts(rows))


def _model_rows(run: RunRecord, is_nameless: bool) -> Iterator[tuple[str, str]]:
    contract = run.contract
    yield "file", short_text(PurePath(run.model).name)
    yield "SHA-256", run.model_sha256
    if contract.get("arch"):
        networks = contract.get("networks", 1)
        mean_of = f", mean of {networks} networks" if networks != 1 else ""
        encoder = f" with {contract['encoder']}" if contract.get("encoder") else ""
        yield "network", short_text(f"{contract['arch']}{encoder}{mean_of}")
        yield "input", f"{contract.get('size')} x {contract.get('size')} pixels, RGB"
        yield "threshold", f"{contract.get('threshold')}"
        yield "hair removal", "inside the model" if contract.get("hair_removal") else "none"
        yield "averaged over mirror images", str(contract.get("tta"))
        yield "licence", short_text(str(contract.get("licence")))
    yield "classes", short_text(in_words(run.class_names))
    yield "confidence", run.confidence_by
    if not is_nameless and isinstance(trained := contract.get("trained_on"), dict):
        yield "trained on", short_text(", ".join(f"{_words(name)}: {_value(value)}" for name, value in trained.items()))


def _parity_rows(parity: Mapping[str, Any], is_nameless: bool) -> Iterator[tuple[str, str]]:
    verdict = "passed" if parity.get("passed") else "not passed"
    images = counted(int(parity.get("images") or 0), "image")
    source = "" if is_nameless else f" ({parity.get('source')})"
    text = f"{verdict}, on {parity.get('device')} in {parity.get('precision')}, {images}{source}"
    yield "parity with the original", short_text(text)
    truth = (parity.get("figures") or {}).get("truth")
    if isinstance(truth, dict) and truth.get("dice") is not None:
        original = truth.get("original_dice")
        of_original = "" if original is None else f"; its original {original:.4f}"
        yield (
            "Dice against truth",
            f"{truth['dice']:.4f} on {counted(int(truth.get('images') or 0), 'image')}{of_original}",
        )


def _parity_listing(figures: Any) -> Listing:
    head = ["against its original", "mean Dice", "worst Dice", "largest difference of probability", "pixels flipped"]
    rows = []
    for feed, label in FEEDS.items():
        one = figures.get(feed) if isinstance(figures, dict) else None
        if isinstance(one, dict) and {"mean_dice", "worst_dice"} <= one.keys():
            differs = f"{one['max_prob']:.2g}" if "max_prob" in one else "-"
            flipped = f"{100 * one['flipped']:.2g} %" if "flipped" in one else "-"
            rows.append([label, f"{one['mean_dice']:.6f}", f"{one['worst_dice']:.6f}", differs, flipped])
    return Listing(head, rows, frozenset({1, 2, 3, 4}))


def _settings(settings: Mapping[str, Any], hidden: Set[str]) -> Iterator[tuple[str, str]]:
    """Yield the settings that say something, but the hidden ones."""
    for name, value in settings.items():
        if name not in NOT_SETTINGS | hidden and value not in (None, False, "", [], ()):
            yield name, short_text(_value(value))


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        more = f" and {len(value) - NAMES_SHOWN:,} more" if len(value) > NAMES_SHOWN else ""
        return ", ".join(printable(str(each)) for each in value[:NAMES_SHOWN]) + more
    return "yes" if value is True else f"{value:,}" if isinstance(value, int) else printable(str(value))


def _words(name: str) -> str:
    return name.replace("_", " ")


def moment(text: str) -> str:
    """Return a time of the ledger, ISO 8601 in UTC, for a person."""
    return f"{text[:19].replace('T', ' ')} UTC"
