"""Which DICOM objects are photographs: by SOP class, or by modality if the class is missing or private.

Source: DICOM PS3.4 annex B.5 (classes of storage), PS3.3 C.7.3.1.1.1 (modalities).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seglab.errors import ImageError
from seglab.images.decoders.dicom.layout import printable

if TYPE_CHECKING:
    from seglab.images.decoders.dicom.data_set import DataSet

STORAGE = "1.2.840.10008.5.1.4.1.1."
PHOTOGRAPHS = frozenset(
    STORAGE + ending
    for ending in (
        "77.1", "77.1.1", "77.1.2", "77.1.3", "77.1.4", "77.1.5.1", "77.1.5.2", "77.1.5.5", "77.1.6", "77.1.7",
    )
)  # fmt: skip
"""Visible light: trial, endoscopic, microscopic, photographic, ophthalmic (8, 16 bits, wide), slides, dermoscopic."""
VIDEOS = frozenset(STORAGE + ending for ending in ("77.1.1.1", "77.1.2.1", "77.1.4.1"))
CAPTURES = frozenset(STORAGE + ending for ending in ("7", "7.1", "7.2", "7.3", "7.4"))
"""Secondary captures: screenshots and scans, but also photographs of simple systems."""
NEVER = frozenset(STORAGE + ending for ending in ("66.4", "66.7", "30", "481.2"))
"""Segmentations, label maps, parametric maps, doses: maps of values, which cannot be segmented."""
VISIBLE_LIGHT = frozenset({"XC", "DMS", "ES", "GM", "SM", "OP"})
UNSURE = frozenset({"OT", "SC"})
"""Modalities that do not say what an image is: "other" and secondary capture."""
COLOURS = frozenset({"RGB", "PALETTE COLOR"})
PUBLIC = "1.2.840.10008."
EXPECTED = "a photograph (VL Photographic, Dermoscopic, Endoscopic, Microscopic or Ophthalmic, or Secondary Capture)"


class Verdict(NamedTuple):
    """``is_photograph``: whether its samples are used as stored, without a window. ``remarks``: on its class."""

    is_photograph: bool
    remarks: tuple[str, ...] = ()


def judged(data_set: DataSet, *, any_dicom: bool) -> Verdict:
    """Return whether an object is a photograph, with remarks. Raises :class:`ImageError` for one that is not read.

    ``any_dicom``: images of other classes are accepted as well.
    """
    uid = _text(data_set, "SOPClassUID") or data_set.kind
    _require_image(data_set, uid)
    if uid in PHOTOGRAPHS:
        return Verdict(is_photograph=True)
    modality = _text(data_set, "Modality")
    if uid in CAPTURES:
        of = f" (modality {modality})" if modality else ""
        return Verdict(is_photograph=True, remarks=(f"a secondary capture{of}; it may not be a photograph",))
    remarks = None if uid.startswith(PUBLIC) else _judged_by_modality(data_set, modality)
    if remarks is not None:
        return Verdict(is_photograph=True, remarks=remarks)
    if not any_dicom:
        raise ImageError(
            f"A DICOM object of {_named(uid, modality)}; expected {EXPECTED}. Leave it out, or accept it with "
            "`seg-batch run --any-dicom`."
        )
    return Verdict(is_photograph=False, remarks=(f"a DICOM object of {_named(uid, modality)}, not a photograph",))


def _require_image(data_set: DataSet, uid: str) -> None:
    """Raise :class:`ImageError` for objects without pixels, and for those that are never accepted."""
    if uid in VIDEOS:
        raise ImageError(f"A DICOM video ({_class_name(uid)}); expected one photograph. Export one of its frames.")
    if uid in NEVER:
        raise ImageError(f"A DICOM object of {_class_name(uid)}; expected {EXPECTED}. Leave it out.")
    if data_set.pixels is None:
        kind = _named(uid, _text(data_set, "Modality"))
        raise ImageError(f"A DICOM object without an image ({kind}); expected a photograph. Leave it out.")


def _judged_by_modality(data_set: DataSet, modality: str) -> tuple[str, ...] | None:
    """Return the remarks on an object without a public class that is taken for a photograph; None if it is not."""
    if modality in VISIBLE_LIGHT:
        return ()
    if modality in UNSURE:
        return (f"a DICOM object of modality {modality}; it may not be a photograph",)
    colours = _text(data_set, "PhotometricInterpretation")
    if not modality and (colours in COLOURS or colours.startswith("YBR")):
        return ("a DICOM object without class and modality, taken for a photograph because it is in colour",)
    return None


def _named(uid: str, modality: str) -> str:
    if uid.startswith(PUBLIC):
        return _class_name(uid)
    kind = "a private class" if uid else "no class"
    return f"{kind} and {f'modality {modality}' if modality else 'no modality'}"


def _class_name(uid: str) -> str:
    from pydicom.uid import UID

    return printable(UID(uid).name)


def _text(data_set: DataSet, name: str) -> str:
    """Return a value of the header as a printable line of limited length."""
    return printable(data_set.header.get(name) or "").strip()
