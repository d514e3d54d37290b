"""The files below a folder, also through linked folders, by kind: pictures, unsupported pictures, others."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from seglab.errors import DataError
from seglab.images.formats import IMAGE_SUFFIXES

NOT_READ = frozenset(
    {
        ".ai", ".arw", ".bpg", ".cr2", ".cr3", ".czi", ".dds", ".djvu", ".dng", ".emf", ".eps", ".exr", ".fits",
        ".hdr", ".icns", ".ico", ".jxl", ".jxr", ".mha", ".mhd", ".mrxs", ".ndpi", ".nef", ".nii", ".nrrd",
        ".orf", ".pbm", ".pcx", ".pfm", ".pgm", ".pnm", ".ppm", ".psb", ".psd", ".qoi", ".raf", ".raw", ".rw2",
        ".svg", ".svs", ".tga", ".wdp", ".wmf", ".xcf",
    }
)  # fmt: skip
"""Suffixes of pictures in unsupported formats."""
OF_THE_SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
"""Folders that operating systems make; they are skipped, and so are names that begin with a dot."""

OURS = (("settings.json", "split.json"), ("folds.json",), (".seg-batch",), ("ledger.sqlite",))
"""Files that mark folders of a training, a cross-validation or seg-batch; pictures in these are not data."""


@dataclass
class Tree:
    """The files below ``root``, sorted: ``pictures``, ``not_read`` (pictures in unsupported formats), ``others``.

    ``ours``: what seglab or seg-batch wrote; such folders are not entered.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    not_read: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    ours: list[Path] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """Return ``path`` relative to the root, or as it is if it lies elsewhere."""
        return path.relative_to(self.root).as_posix() if self.root in path.parents else str(path)


def walk(root: Path) -> Tree:
    """Return the files below ``root``; every real folder counts once, under its own path rather than a link's.

    Raises :class:`DataError` where ``root``, or a folder below it, cannot be listed.
    """
    if not root.is_dir():
        raise DataError(
            f"{root} is not a folder; expected one, a table of pairs (.csv), COCO (.json) or MedSegBench (.npz). "
            "Check the path."
        )
    tree, seen = Tree(root), set[str]()
    linked = [root]
    while linked:
        linked = [link for folder in linked for link in _walk_folder(folder, tree, seen)]
    for files in (tree.pictures, tree.not_read, tree.others, tree.ours):
        files.sort()
    return tree


def is_ours(folder: Path) -> bool:
    """Return whether a training, a cross-validation or seg-batch wrote this folder."""
    return any(all((folder / name).is_file() for name in names) for names in OURS)


def _walk_folder(folder: Path, tree: Tree, seen: set[str]) -> list[Path]:
    """Add the files of ``folder`` and of the folders in it; return the links to folders."""
    real = os.path.realpath(folder)
    if real in seen:
        return []
    seen.add(real)
    linked: list[Path] = []
    folders: list[Path] = []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}); expected a folder that you may read."
        ) from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name in OF_THE_SYSTEM:
            continue
        path = folder / entry.name
        if path.is_dir():
            (tree.ours if is_ours(path) else linked if entry.is_symlink() else folders).append(path)
        elif path.is_file() or entry.is_symlink():  # a broken link counts as an image that cannot be read
            _kind(path, tree).append(path)
    for inner in folders:
        linked += _walk_folder(inner, tree, seen)
    return linked


def _kind(path: Path, tree: Tree) -> list[Path]:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return tree.pictures
    return tree.not_read if suffix in NOT_READ else tree.others
