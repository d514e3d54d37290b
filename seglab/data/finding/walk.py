"""Every file below a folder, through linked folders too, by kind: pictures, pictures that are not read, others."""

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
"""Suffixes of pictures that are in no format read here."""
OF_THE_SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
"""Folders that operating systems make; with names that begin with a dot they are passed over."""

OURS = (("settings.json", "split.json"), ("folds.json",), (".seg-batch",), ("ledger.sqlite",))
"""Files of folders that a training, a cross-validation or seg-batch wrote, whose pictures are no data."""


@dataclass
class Tree:
    """The files below ``root``, sorted: ``pictures``, ``not_read`` (by suffix, pictures all the same), ``others``;
    and ``ours``: what seglab or seg-batch wrote; folders of it are not walked.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    not_read: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    ours: list[Path] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """Return what ``path`` is called below the root, or anywhere else."""
        return path.relative_to(self.root).as_posix() if self.root in path.parents else str(path)


def walk(root: Path) -> Tree:
    """Return the files below ``root``; every real folder counts once, under its own place before that of a link.

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
    """Is this a folder that a training, a cross-validation or seg-batch wrote?"""
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
        elif path.is_file() or entry.is_symlink():  # a link that leads nowhere is an image that cannot be read
            _kind(path, tree).append(path)
    for inner in folders:
        linked += _walk_folder(inner, tree, seen)
    return linked


def _kind(path: Path, tree: Tree) -> list[Path]:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return tree.pictures
    return tree.not_read if suffix in NOT_READ else tree.others
