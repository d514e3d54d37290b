"""Masks as DICOM Segmentation objects (SEG), for masks of photographs that are DICOM files.

A SEG belongs to the patient and the study of its photograph and refers to it by its UIDs. Its own UIDs follow from the
photograph and the mask, so that the same export gives the same objects and an archive recognises them. Source: DICOM
PS3.3 A.51 and C.8.20.2 (Segmentation), written by highdicom.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batch.errors import printable
from batch.formats import MADE_BY
from batch.formats.files import ExportFolder
from batch.formats.material import Item, Material
from batch.formats.naming import with_suffix
from batch.formats.target import Target
from batch.reporting.makers import Maker
from seglab import __version__
from seglab.errors import ImageError, MissingDependencyError
from seglab.images.kinds import picture_kind
from seglab.images.refusals import BEGINNING

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_KINDS = frozenset({"a DICOM file", "a bare DICOM data set"})
NO_DICOM = (
    "Its photograph is no DICOM file, so there is no patient and no study for a DICOM SEG. Export it with "
    "--format png, labelme or coco."
)
MANUFACTURER = "seglab"
SERIES = "Masks by a model, not a medical device"
NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""Elements that every object has, but whose values may be missing (type 2)."""
# pydicom and highdicom warn of values that do not conform, of which archives are full, and quote them: patients' names.
# (A filter per call is not safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"(pydicom|highdicom)\.")
LONGEST = 64
"""Characters of a long string (LO)."""
SERIES_NUMBER = 900
UTF_8 = "ISO_IR 192"
"""Character set of the objects, whatever that of the photograph is."""
CLASSES = "99SEGLAB"
"""Coding scheme of the classes of label maps, whose meaning only their model knows; 99 begins private schemes."""


def write_dicom(material: Material, target: Target) -> int:
    """Write a DICOM SEG for each mask whose photograph is DICOM; return how many.

    Raises :class:`MissingDependencyError` if highdicom is missing.
    """
    with needs_dicom():
        import highdicom  # noqa: F401
    folder = ExportFolder(target.to)
    folder.prepare(keep_from_runs=True)
    makers = {maker.key: maker for maker in material.makers.all}
    classes, are_labels = material.classes, material.are_labels

    def write(item: Item) -> None:
        photograph = header_of(item.photograph or b"")
        numbered = np.minimum(item.mask, 1) if not are_labels else item.mask
        made = segmentation(photograph, numbered, classes, makers[item.entry.key or ""], item.entry.sha256 or "")
        folder.write(with_suffix(material.names.mask(item.entry), ".dcm"), made)

    count = sum(1 for _ in material.each(write, with_photographs=True))
    folder.close()
    return count


@contextlib.contextmanager
def needs_dicom() -> Iterator[None]:
    """Map the lack of a package of the extra ``dicom`` to :class:`MissingDependencyError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The package {error.name} is missing, which DICOM SEG needs. Install it: pip install 'seglab[dicom]'"
        ) from error


def header_of(photograph: bytes) -> Dataset:
    """Return the header of a photograph for :func:`segmentation`; elements that may be empty are there.

    Raises :class:`ImageError` if it is no DICOM file, or has no UIDs to refer to.
    """
    import pydicom

    if picture_kind(photograph[:BEGINNING]) not in DICOM_KINDS:
        raise ImageError(NO_DICOM)
    try:
        header = pydicom.dcmread(io.BytesIO(photograph), stop_before_pixels=True, force=True)
        missing = [name for name in NEEDED if not header.get(name)]
    except Exception as error:  # pydicom raises errors of many kinds for damaged files
        raise ImageError(f"The header of its photograph cannot be read: {printable(str(error))}") from error
    if missing:
        raise ImageError(
            f"Its photograph has no {' and no '.join(missing)}, so no DICOM SEG can refer to it. Export the photograph "
            "again from the system that it comes from, or export the mask with --format png."
        )
    for name in MAY_BE_EMPTY:
        if name not in header:
            setattr(header, name, None)
    return header


def segmentation(
    photograph: Dataset, mask: NDArray[np.uint8], classes: list[tuple[int, str]], maker: Maker, sha256: str
) -> bytes:
    """Return a DICOM SEG file: a segment for each class.

    ``photograph``: a header of :func:`header_of`. ``mask``: ``(H, W)``, numbers of ``classes``, 0 for the background.
    ``sha256``: of the mask's file. Raises :class:`ImageError` if the photograph is of another size, or its header
    cannot be used.
    """
    import highdicom
    from pydicom.uid import generate_uid

    size = (photograph.get("Rows"), photograph.get("Columns"))
    if size != mask.shape:
        raise ImageError(
            f"Its photograph has {size[1]} x {size[0]} pixels now, and the mask {mask.shape[1]} x {mask.shape[0]}; "
            "expected the same. Run again to remake the mask."
        )
    source = [str(photograph.SOPInstanceUID), MADE_BY, sha256, maker.key]
    series = [str(photograph.SeriesInstanceUID), MADE_BY, maker.key]
    buffer = io.BytesIO()
    try:
        made = highdicom.seg.Segmentation(
            source_images=[photograph],
            pixel_array=np.stack([mask == number for number, _ in classes], axis=-1)[None],  # (1, H, W, segments)
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(number, name, maker, len(classes)) for number, name in classes],
            series_instance_uid=generate_uid(entropy_srcs=series),
            series_number=SERIES_NUMBER,
            sop_instance_uid=generate_uid(entropy_srcs=source),
            instance_number=int(photograph.get("InstanceNumber") or 1),
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MADE_BY,
            software_versions=__version__,
            device_serial_number=_algorithm(maker)["version"][:16],
            series_description=SERIES,
            specific_character_set=UTF_8,
            content_label="MASK",
            content_description=SERIES,
            omit_empty_frames=False,
        )
        made.save_as(buffer)
    except Exception as error:  # highdicom and pydicom raise errors of many kinds for headers that do not conform
        raise ImageError(
            f"No DICOM SEG can be made for the header of its photograph: {printable(str(error))}. Export the mask with "
            "--format png."
        ) from error
    return buffer.getvalue()


def _segment(number: int, name: str, maker: Maker, count: int) -> Any:
    """Return the description of a segment: what it shows, and which model made it."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    category, kind = codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion
    if count > 1:
        category = CodedConcept("class", CLASSES, "Class of a model")
        kind = CodedConcept(str(number), CLASSES, name[:LONGEST])
    algorithm = _algorithm(maker)
    return SegmentDescription(
        segment_number=number,
        segment_label=name[:LONGEST],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm["name"], family=codes.DCM.ArtificialIntelligence, version=algorithm["version"]
        ),
    )


def _algorithm(maker: Maker) -> dict[str, str]:
    """Return name and version of the model: its file's name, and the SHA-256 of the file."""
    if maker.run is None:
        return {"name": "unknown", "version": maker.key or "unknown"}
    name = maker.run.model.replace("\\", "/").rpartition("/")[2]
    return {"name": printable(name)[:LONGEST], "version": maker.run.model_sha256[:LONGEST]}
