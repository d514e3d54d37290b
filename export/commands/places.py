"""Where a command may write: never over what it reads, nor over a file that it did not make."""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import click

from seglab.commands.places import is_same, require_apart, require_own
from seglab.images.formats import IMAGE_SUFFIXES

STDOUT = "-"
ONNX_BEGINNING = b"\x08"
"""The first field of an ONNX file: the version of its format."""
CONTRACT_MARK = b"seglab.format_version"
REPORT_MARK = b'"kind": "seglab '
PICTURE_MARK = b"seg-export drew this picture"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
BEGINNING = 4096
XML_BEGINNING, IR_MARK = b"<?xml", b"<seglab>"
IR_WEIGHTS = "--out's .bin"

Own = Mapping[str, tuple[Callable[[Path], bool], str]]


def require_places(
    outputs: Mapping[str, Path | None],
    reads: Iterable[Path | None],
    *,
    what: str = "the file that is to be exported",
    folders: Iterable[Path | None] = (),
    own: Own | None = None,
) -> None:
    """Raise :class:`click.UsageError` unless every output may be written; called before any work.

    ``outputs``: by option; ``--json`` may be ``-``. ``reads``: the files that the command reads (for a folder, the
    files in it), called ``what`` in messages. ``folders``: those whose images it reads. Files are compared by identity,
    whatever links and spellings lead to them. An existing file is replaced only if it is empty or what such a command
    writes (``own``; default :data:`OWN`: a model with a contract, a report, a picture).
    """
    places = {
        option: path
        for option, path in outputs.items()
        if path is not None and (option, str(path)) != ("--json", STDOUT)
    }
    for option, path in places.items():
        if path.is_dir():
            raise click.UsageError(
                f"{option} {path} is a folder; expected the name of a file. Add one: {path / 'NAME'}."
            )
    require_apart(places)
    for read in filter(None, reads):
        for option, path in places.items():
            if is_same(path, read) or (path.exists() and read.is_dir() and _is_among(path, _files_in(read))):
                raise click.UsageError(f"{option} is {what}; name another file than {path}.")
    for folder in filter(None, folders):
        for option, path in places.items():
            if path.exists() and _is_among(path, _images_below(folder)):
                raise click.UsageError(f"{option} is one of the images to read; name another file than {path}.")
    for option, path in places.items():
        _require_own(option, path, own or OWN)


def default_place(source: Path, suffix: str) -> Path:
    """Return the default output for ``source``: beside it, with another suffix."""
    if source.name not in ("", ".."):
        return source.with_suffix(suffix)
    return source / f"{source.resolve().name or 'model'}{suffix}"  # for . and ..


def require_model_places(
    out: Path,
    json_file: Path | None,
    picture: Path | None,
    reads: Iterable[Path],
    folders: Iterable[Path | None] = (),
) -> None:
    """Check the places of a command that writes the model ``out`` and its report, see :func:`require_places`."""
    reads, folders = tuple(reads), tuple(folders)
    require_places({"--out": out}, reads, folders=folders)  # afterwards it is the name of a file
    outputs = {
        "--out": out,
        "--json": json_file or out.with_suffix(".parity.json"),
        "--picture": picture,
    }
    require_places(outputs, reads, folders=folders)


def _require_own(option: str, path: Path, own: Own) -> None:
    """Raise unless ``path`` does not exist, is empty, or is what ``option`` writes."""
    suffix = path.suffix.lower()
    if option == "--picture" and suffix not in PICTURE_SUFFIXES:
        raise click.UsageError(f"{option} {path} ends in {suffix or 'nothing'}; expected .png or .jpg. Rename it.")
    require_own(option, path, *own[option])


def _is_model(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[:1] == ONNX_BEGINNING and content.find(CONTRACT_MARK) >= 0


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return REPORT_MARK in file.read(BEGINNING)


def _is_picture(path: Path) -> bool:
    with path.open("rb") as file:
        return PICTURE_MARK in file.read(BEGINNING)


def _is_ir(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[:5] == XML_BEGINNING and content.find(IR_MARK) >= 0


def _is_weights_of_ir(path: Path) -> bool:
    xml = path.with_suffix(".xml")
    return xml.is_file() and xml.stat().st_size > 0 and _is_ir(xml)


OWN: Own = {
    "--out": (_is_model, "a model that seg-export made"),
    "--json": (_is_report, "a report that seg-export wrote"),
    "--picture": (_is_picture, "a picture that seg-export drew"),
}
"""What each option writes: how it is recognised, and its name in messages."""
IR_OWN: Own = {
    **OWN,
    "--out": (_is_ir, "an OpenVINO file that seg-export made"),
    IR_WEIGHTS: (_is_weights_of_ir, "the weights of an OpenVINO file that seg-export made"),
}


def _is_among(path: Path, files: Iterable[Path]) -> bool:
    return any(is_same(path, file) for file in files)


def _files_in(folder: Path) -> Iterator[Path]:
    for found, _, names in itertools.islice(os.walk(folder), 1):
        yield from (Path(found, name) for name in names)


def _images_below(folder: Path) -> Iterator[Path]:
    files = (Path(found, name) for found, _, names in os.walk(folder) for name in names)
    return (path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
