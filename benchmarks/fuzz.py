"""Corrupted images, very many: does every one get a mask or a reason, and does nothing ever crash?

``python -m benchmarks.fuzz --count 20000`` makes photographs in every format, spoils each (bytes flipped, runs of bytes
zeroed, doubled or taken out, ends cut off), and runs the command over them, in lots. Prints what came of them.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from batch.ledger.reader import LedgerReader
from benchmarks.null_network import null_model
from seglab.synth import synthesise

LOT = 2_000
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".bmp": "BMP", ".webp": "WEBP"}
VARIANTS = 8
PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"
"""VL Photographic Image Storage."""


@click.command()
@click.option("--count", default=20_000, show_default=True, help="Corrupted images.")
@click.option("--seed", default=0, show_default=True, help="Of the corruption.")
def main(count: int, seed: int) -> None:
    """Run and print the counts; exit code 1 where an image was lost or the command crashed."""
    rng = np.random.default_rng(seed)
    whole = [*_photographs(rng), *_dicoms()]
    found: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = null_model(root / "null.onnx")
        for lot in range(0, count, LOT):
            source, out = root / f"in-{lot}", root / f"out-{lot}"
            source.mkdir()
            for number in range(min(LOT, count - lot)):
                suffix, data = whole[int(rng.integers(len(whole)))]
                (source / f"{number:05}{suffix}").write_bytes(spoiled(data, rng))
            found += _outcome(source, out, model, reasons)
    for name, number in found.most_common():
        click.echo(f"{name:<24}{number:>8}")
    for reason, number in reasons.most_common(12):
        click.echo(f"  {number:>6} {reason}")
    if found["lost"] or found["crashes"]:
        sys.exit(1)


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes, spoiled in one to three ways."""
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(len(data)))
        end = min(len(data), start + int(rng.integers(1, 64)))
        match int(rng.integers(5)):
            case 0:
                flipped = bytearray(data)
                for place in rng.integers(0, len(data), int(rng.integers(1, 9))):
                    flipped[place] ^= 1 << int(rng.integers(8))
                data = bytes(flipped)
            case 1:
                data = data[:start] + bytes(end - start) + data[end:]
            case 2:
                data = data[:end] + data[start:]
            case 3:
                data = data[:start] + data[end:] or b"\0"
            case 4:
                data = data[: max(1, start)]
    return data


def _photographs(rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    for number in range(VARIANTS):
        height, width = (int(side) for side in rng.integers(20, 90, 2))
        image = Image.fromarray(synthesise(height, width, seed=number).image)
        exif = Image.Exif()
        exif[0x0112] = 1 + number
        for suffix, kind in FORMATS.items():
            options: dict[str, Any] = {"exif": exif} if suffix in (".jpg", ".tif", ".webp") else {}
            if suffix == ".jpg":
                options |= {"progressive": bool(number % 2)}
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            yield suffix, buffer.getvalue()


def _dicoms() -> Iterator[tuple[str, bytes]]:
    """Yield DICOM files, where pydicom is there to make them."""
    try:
        import pydicom
    except ImportError:
        return
    for number in range(VARIANTS):
        pixels = synthesise(30 + number, 40, seed=number).image
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(PHOTOGRAPH)
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        file.Rows, file.Columns = pixels.shape[:2]
        file.SamplesPerPixel, file.PhotometricInterpretation, file.PlanarConfiguration = 3, "RGB", 0
        file.BitsAllocated = file.BitsStored = 8
        file.HighBit, file.PixelRepresentation, file.PixelData = 7, 0, pixels.tobytes()
        buffer = io.BytesIO()
        file.save_as(buffer, enforce_file_format=True)
        yield ".dcm", buffer.getvalue()


def _outcome(source: Path, out: Path, model: Path, reasons: Counter[str]) -> Counter[str]:
    code = "from batch.cli import main; main()"
    options = ["--model", str(model), "--device", "cpu", "--max-pixels", "4000000"]
    command = [sys.executable, "-c", code, "run", str(source), "--out", str(out), *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, errors="backslashreplace")
    crashed = ended.returncode not in (0, 3) or "Traceback" in ended.stderr
    if crashed:
        click.echo(ended.stderr[-2000:], err=True)
    with LedgerReader(out) as ledger:
        counts = ledger.counts()
        for row in ledger.rows():
            if row["error"]:
                reasons[re.sub(r"\d+", "N", json.dumps(row["error"]))[:60]] += 1
        masks = sum((out / entry.mask).is_file() for entry in ledger.done_entries())
    total = len(list(source.iterdir()))
    lost = total - counts["failed"] - masks
    done = {"images": total, "masks": masks, "reasons": counts["failed"], "lost": lost, "crashes": int(crashed)}
    return Counter(done)


if __name__ == "__main__":
    main()
