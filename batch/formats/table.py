"""The formats of ``seg-batch export``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from batch.errors import printable
from batch.formats.coco import require_coco, write_coco
from batch.formats.dicom import write_dicom
from batch.formats.labelme import write_labelme
from batch.formats.material import Material
from batch.formats.png import write_png
from batch.formats.target import Target
from batch.sources.archives.archive import is_archive
from seglab.errors import ConfigError

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""The beginning of a URL as a path."""


@dataclass(frozen=True)
class Format:
    """``write`` returns how many masks it wrote, and ``require`` raises errors of the target before the work.

    ``is_file``: one file for all masks, else a folder. ``takes``: the options that it knows. ``names_patients``: its
    files say whose masks they are, so there is no export with pseudonyms.
    """

    name: str
    write: Callable[[Material, Target], int]
    is_file: bool = False
    takes: frozenset[str] = frozenset()
    names_patients: bool = False

    def require(self, target: Target, *, is_pseudonymous: bool) -> None:
        """Raise :class:`ConfigError` or :class:`OutputError` if this target cannot be written."""
        for option, is_given in (("--with-images", target.with_images), ("--polygons", target.polygons)):
            if is_given and option not in self.takes:
                takers = [each.name for each in FORMATS.values() if option in each.takes]
                raise ConfigError(
                    f"--format {self.name} takes no {option}; expected it with {' or '.join(takers)}. Leave it out."
                )
        if is_pseudonymous and self.names_patients:
            raise ConfigError(
                f"--format {self.name} would undo the pseudonyms: a DICOM SEG holds the patient and the UIDs of its "
                "photograph; expected another format. Or pseudonymise the photographs first, and run on these."
            )
        if ADDRESS.match(str(target.to)) or (not self.is_file and is_archive(str(target.to))):
            place = "file" if self.is_file else "folder"
            raise ConfigError(
                f"--to is {printable(str(target.to))}; expected a {place} on this machine. Export here, then zip or "
                "copy it."
            )
        if self.is_file:
            require_coco(target.to)


def _coco(material: Material, target: Target) -> int:
    return write_coco(material, target.to, polygons=target.polygons)[0]


FORMATS = {
    each.name: each
    for each in (
        Format("coco", _coco, is_file=True, takes=frozenset({"--polygons"})),
        Format("labelme", write_labelme, takes=frozenset({"--with-images"})),
        Format("png", write_png, takes=frozenset({"--with-images"})),
        Format("dicom", write_dicom, names_patients=True),
    )
}
