"""What the service answers: JSON with figures and outlines, a PNG, or a zip of PNGs."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from fastapi import HTTPException

from batch.figures import Figures
from batch.formats.outlines import outlines
from batch.naming import clash_key
from batch.outputs.png import decode_mask
from batch.service.engine import Answer
from batch.service.uploads import Upload

PNG, ZIP, JSON = "image/png", "application/zip", "application/json"
ERRORS = "errors.json"
LONGEST_STEM = 200
"""Bytes; a file name may have 255."""
Pairs = Sequence[tuple[Upload, Answer]]


def kind_for(accept: str, files: int) -> str:
    """Return the type to answer with, by the request's ``Accept`` and its number of files. Raises 406.

    JSON is for those who name it and prefer nothing else; else masks, several of them in a zip.
    """
    ranges = _ranges(accept)
    masks = [PNG, ZIP] if files == 1 else [ZIP]
    if files > 1 and PNG in ranges:
        ranges.setdefault(ZIP, ranges[PNG])  # who asks for PNGs takes several of them in a zip
    best = max((_weight(kind, ranges) for kind in masks), default=0.0)
    if ranges.get(JSON, 0) > 0 and ranges[JSON] >= best:
        return JSON
    for kind in (*masks, JSON):
        if _weight(kind, ranges) > 0:
            return kind
    raise HTTPException(406, f"The answer is {JSON}, {PNG} or {ZIP}; expected one of them in Accept.")


def _ranges(accept: str) -> dict[str, float]:
    """Return the weight of each type in ``Accept`` (RFC 9110, section 12.5.1); an empty one accepts all."""
    found: dict[str, float] = {}
    for part in accept.split(","):
        kind, _, parameters = part.partition(";")
        if kind.strip():
            weight = re.search(r"(?:^|;)\s*q\s*=\s*([0-9.]+)", parameters, re.IGNORECASE)
            found[kind.strip().lower()] = _number(weight[1]) if weight else 1.0
    return found or {"*/*": 1.0}


def _weight(kind: str, ranges: dict[str, float]) -> float:
    """Return the weight of a type: that of the most specific range that holds it, 0 if there is none."""
    names = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((ranges[name] for name in names if name in ranges), 0.0)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def as_json(pairs: Pairs, model: dict[str, Any], classes: int, *, with_masks: bool) -> dict[str, Any]:
    """Return names, figures, outlines and errors, in the order of the request."""
    images = [_image(upload, answer, classes, with_mask=with_masks) for upload, answer in pairs]
    return {"format_version": 1, "model": model, "images": images}


def as_png(answer: Answer) -> tuple[bytes, dict[str, str]]:
    """Return a mask, with the figures as headers. Raises 422 with the reason if there is none."""
    if answer.mask is None or answer.figures is None:
        raise HTTPException(422, answer.error or "There is no mask.")
    figures = answer.figures
    headers = {
        "X-Lesion-Area": str(figures.lesion_area),
        "X-Lesion-Fraction": f"{figures.lesion_fraction:.6f}",
        "X-Confidence": f"{figures.confidence:.6f}",
    }
    if figures.suitable is not None:
        headers["X-Suitable"] = f"{figures.suitable:.6f}"
    return answer.mask, headers


def as_zip(pairs: Pairs) -> bytes:
    """Return the masks as a zip, named after their photographs, with the errors in :data:`ERRORS`. Raises 422 if there
    is no mask.
    """
    if all(answer.mask is None for _, answer in pairs):
        raise HTTPException(422, "; ".join(dict.fromkeys(answer.error or "no mask" for _, answer in pairs)))
    file = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(file, "w") as archive:  # PNGs are compressed already
        for upload, answer in pairs:
            if answer.mask is not None:
                archive.writestr(_free_name(upload, taken), answer.mask)
        errors = [{"name": upload.name, "error": answer.error} for upload, answer in pairs if answer.mask is None]
        if errors:
            archive.writestr(ERRORS, json.dumps(errors, indent=2))
    return file.getvalue()


def _free_name(upload: Upload, taken: set[str]) -> str:
    """Return a name for the mask of a photograph that no other mask has, on any disk."""
    stem = PurePosixPath(upload.name).stem.encode()[:LONGEST_STEM].decode(errors="ignore") or "mask"
    names = itertools.chain([f"{stem}.png"], (f"{stem}-{number}.png" for number in itertools.count(2)))
    name = next(name for name in names if clash_key(name) not in taken)
    taken.add(clash_key(name))
    return name


def _image(upload: Upload, answer: Answer, classes: int, *, with_mask: bool) -> dict[str, Any]:
    if answer.mask is None or answer.figures is None:
        return {"name": upload.name, "error": answer.error}
    found: dict[str, Any] = {"name": upload.name, **_figures(answer.figures), "remark": answer.remark or None}
    mask = decode_mask(answer.mask, classes)
    found["outlines"] = outlines((mask > 0).astype(mask.dtype) * 255) if answer.figures.lesion_area else []
    if with_mask:
        found["mask"] = base64.b64encode(answer.mask).decode("ascii")
    return found


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "height": figures.height,
        "width": figures.width,
        "lesion_area": figures.lesion_area,
        "lesion_fraction": figures.lesion_fraction,
        "bbox": figures.bbox,
        "confidence": figures.confidence,
        "suitable": figures.suitable,
        "is_uncertain": figures.is_uncertain,
        "is_unsuitable": figures.is_unsuitable,
        "is_cut": figures.is_cut,
    }
