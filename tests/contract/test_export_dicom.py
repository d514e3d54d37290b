"""``seg-batch export --format dicom``: read back by highdicom and pydicom, against the masks and the photographs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.archive import StandIn, read_grey, run_all, save, seg_batch, spot
from tests.support.artefact import blobs, colour_model
from tests.support.dicom_files import bare, dicom, jpeg
from tests.support.exports import export

pydicom = pytest.importorskip("pydicom")
hd = pytest.importorskip("highdicom")
CONCEPTS = {"lesion": ("52988006", "SCT")}


def photograph(pixels: NDArray[np.uint8], number: int = 1, **fields: Any) -> bytes:
    """Return a photograph of a study, as a camera system writes it."""
    uids = {name: f"1.2.826.0.1.3680043.9.{number}.{part}" for part, name in enumerate(("Study", "Series"), 1)}
    study = {f"{name}InstanceUID": uid for name, uid in uids.items()}
    patient = {"PatientID": f"P{number}", "PatientName": "Müller^Änne", "SpecificCharacterSet": "ISO_IR 192"}
    return dicom(pixels, **(study | patient | {"AccessionNumber": "A7"} | fields))


def store(path: Path, data: bytes) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


def run(tmp_path: Path) -> Path:
    run_all(tmp_path / "in", tmp_path / "out", StandIn(size=64))
    return tmp_path / "out"


def test_segmentations_are_equal_to_the_masks_and_belong_to_the_study(tmp_path: Path) -> None:
    sources = {
        "a/one.dcm": photograph(spot(60, 81), 1, InstanceNumber=4, FrameOfReferenceUID="1.2.3.4"),
        "two": photograph(spot(57, 43), 2, LossyImageCompression="01"),
    }
    for name, data in sources.items():
        store(tmp_path / "in" / name, data)
    out = run(tmp_path)
    export(out, "--format", "dicom", "--to", tmp_path / "seg")
    for name, mask_name in (("a/one.dcm", "a/one"), ("two", "two")):
        before = pydicom.dcmread(io.BytesIO(sources[name]))
        mask = read_grey(out / f"{mask_name}.png")
        assert 0 < np.count_nonzero(mask) < mask.size
        made = pydicom.dcmread(tmp_path / "seg" / f"{mask_name}.dcm")
        np.testing.assert_array_equal(made.pixel_array * 255, mask)
        for field in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
            assert made[field].value == before[field].value
        assert made.get("FrameOfReferenceUID") == before.get("FrameOfReferenceUID")
        assert made.SeriesInstanceUID != before.SeriesInstanceUID
        (reference,) = made.ReferencedSeriesSequence
        assert reference.SeriesInstanceUID == before.SeriesInstanceUID
        assert reference.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert reference.ReferencedInstanceSequence[0].ReferencedSOPClassUID == before.SOPClassUID
        by_highdicom = hd.seg.segread(tmp_path / "seg" / f"{mask_name}.dcm")
        pixels = by_highdicom.get_pixels_by_source_instance([before.SOPInstanceUID])  # (1, H, W, 1)
        np.testing.assert_array_equal(pixels[0, ..., 0] * 255, mask)


def test_a_segmentation_says_which_model_found_what(tmp_path: Path) -> None:
    store(tmp_path / "in" / "one.dcm", photograph(spot(60, 81)))
    export(run(tmp_path), "--format", "dicom", "--to", tmp_path / "seg")
    (segment,) = pydicom.dcmread(tmp_path / "seg" / "one.dcm").SegmentSequence
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == CONCEPTS[segment.SegmentLabel]
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("stand-in.onnx", "a" * 64)
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_the_same_export_gives_the_same_uids_and_a_new_mask_new_ones(tmp_path: Path) -> None:
    store(tmp_path / "in" / "one.dcm", photograph(spot(60, 81)))
    out = run(tmp_path)
    found = []
    for _ in range(2):
        export(out, "--format", "dicom", "--to", tmp_path / "seg")
        found.append(pydicom.dcmread(tmp_path / "seg" / "one.dcm"))
    assert found[0].SOPInstanceUID == found[1].SOPInstanceUID
    run_all(tmp_path / "in", out, StandIn(size=64, threshold=0.7, sha256="b" * 64))
    export(out, "--format", "dicom", "--to", tmp_path / "seg")
    made = pydicom.dcmread(tmp_path / "seg" / "one.dcm")
    assert made.SOPInstanceUID != found[0].SOPInstanceUID
    assert made.SeriesInstanceUID != found[0].SeriesInstanceUID


def test_a_mask_lies_as_the_photograph_is_stored(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x112] = 6
    fields: dict[str, Any] = {"PhotometricInterpretation": "YBR_FULL_422", "LossyImageCompression": "01"}
    pixels = spot(60, 90, (5, 10, 30, 50))
    syntax = "1.2.840.10008.1.2.4.50"
    store(tmp_path / "in" / "one.dcm", photograph(pixels, syntax=syntax, data=jpeg(pixels, exif=exif), **fields))
    export(run(tmp_path), "--format", "dicom", "--to", tmp_path / "seg")
    made = pydicom.dcmread(tmp_path / "seg" / "one.dcm").pixel_array
    dark = pixels[..., 0] < 128
    assert 2 * np.count_nonzero(dark & (made > 0)) / (dark.sum() + made.sum()) > 0.95


def test_empty_masks_and_bare_data_sets_are_exported(tmp_path: Path) -> None:
    store(tmp_path / "in" / "skin.dcm", photograph(np.full((40, 50, 3), 230, np.uint8)))
    store(tmp_path / "in" / "bare.dcm", bare(photograph(spot(40, 50), 2)))
    out = run(tmp_path)
    export(out, "--format", "dicom", "--to", tmp_path / "seg")
    for name in ("skin", "bare"):
        made = pydicom.dcmread(tmp_path / "seg" / f"{name}.dcm")
        np.testing.assert_array_equal(made.pixel_array * 255, read_grey(out / f"{name}.png"))


def test_classes_of_a_label_map_are_segments(tmp_path: Path) -> None:
    from batch.cli import main

    model = colour_model(tmp_path / "colours.onnx", ("skin", "brown", "blue"))
    store(tmp_path / "in" / "0.dcm", photograph(blobs(np.random.default_rng(0), 90, 120)[0]))
    arguments = ["run", tmp_path / "in", "--out", tmp_path / "m", "--model", model, "--device", "cpu"]
    main(list(map(str, arguments)), standalone_mode=False)
    export(tmp_path / "m", "--format", "dicom", "--to", tmp_path / "seg")
    labels = read_grey(tmp_path / "m" / "0.png")
    made = hd.seg.segread(tmp_path / "seg" / "0.dcm")
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ["brown", "blue"]
    kinds = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in made.SegmentSequence]
    assert {kind.CodingSchemeDesignator for kind in kinds} == {"99SEGLAB"}
    assert [kind.CodeMeaning for kind in kinds] == ["brown", "blue"]
    (source,) = (uid for _, _, uid in made.get_source_image_uids())
    pixels = made.get_pixels_by_source_instance([source], combine_segments=True)
    np.testing.assert_array_equal(pixels[0], labels)


def test_photographs_that_are_no_dicom_are_counted_and_damaged_headers_named(tmp_path: Path) -> None:
    store(tmp_path / "in" / "good.dcm", photograph(spot(60, 81)))
    store(tmp_path / "in" / "lone.dcm", dicom(spot(60, 81)))
    for number in range(5):
        save(tmp_path / "in" / f"{number}.jpg", spot(40, 60))
    out = run(tmp_path)
    ended = export(out, "--format", "dicom", "--to", tmp_path / "seg", code=3)
    assert "and 2 more: Its photograph is no DICOM file" in ended.stdout
    assert "lone.png: Its photograph has no StudyInstanceUID and no SeriesInstanceUID" in ended.stdout
    assert [path.name for path in (tmp_path / "seg").glob("*.dcm")] == ["good.dcm"]


@pytest.mark.parametrize("archive", [False, True])
def test_another_photograph_at_the_same_path_gets_no_mask_of_the_first(tmp_path: Path, archive: bool) -> None:
    import zipfile

    def put(number: int) -> None:
        data = photograph(spot(60, 81), number)
        if archive:
            with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
                file.writestr("IM1", data)
        else:
            store(tmp_path / "in" / "IM1", data)

    put(1)
    source = tmp_path / ("in.zip" if archive else "in")
    run_all(source, tmp_path / "out", StandIn(size=64))
    export(tmp_path / "out", "--format", "dicom", "--to", tmp_path / "seg")
    put(2)
    ended = export(tmp_path / "out", "--format", "dicom", "--to", tmp_path / "seg", "--json", code=3)
    (reason,) = json.loads(ended.stdout)["left_out"].values()
    assert "It changed since the mask was made." in reason
    assert {pydicom.dcmread(path).PatientID for path in (tmp_path / "seg").glob("*.dcm")} == {"P1"}


@pytest.mark.parametrize(
    ("sets", "name"),
    [
        ("ISO_IR 100", "Müller^Änne"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 192", "Иванов^Иван"),
        (None, "Doe^Jane"),
        ("", "Doe^Jane"),
    ],
)
def test_names_keep_their_letters_whatever_their_character_set(
    tmp_path: Path, sets: str | list[str] | None, name: str
) -> None:
    store(tmp_path / "in" / "one.dcm", photograph(spot(60, 81), SpecificCharacterSet=sets, PatientName=name))
    export(run(tmp_path), "--format", "dicom", "--to", tmp_path / "seg")
    made = pydicom.dcmread(tmp_path / "seg" / "one.dcm")
    assert str(made.PatientName) == name
    assert made.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, when the photograph is written
def test_headers_that_do_not_conform_are_not_quoted_on_the_screen(tmp_path: Path) -> None:
    before = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    store(tmp_path / "in" / "one.dcm", photograph(spot(60, 81), PatientName="Jane Doe", AccessionNumber="A" * 20))
    pydicom.config.settings.writing_validation_mode = before
    out = run(tmp_path)
    ended = seg_batch("export", out, "--format", "dicom", "--to", tmp_path / "seg")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert str(pydicom.dcmread(tmp_path / "seg" / "one.dcm").PatientName) == "Jane Doe"


def test_without_highdicom_the_way_to_install_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path / "in" / "one.dcm", photograph(spot(60, 81)))
    out = run(tmp_path)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    ended = export(out, "--format", "dicom", "--to", tmp_path / "seg", code=1)
    assert "pip install 'seglab[dicom]'" in " ".join(ended.stderr.split())
    assert not (tmp_path / "seg").exists()


def test_a_dicom_file_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    mine = store(tmp_path / "in" / "one.dcm", photograph(spot(60, 81)))
    out = run(tmp_path)
    ended = export(out, "--format", "dicom", "--to", tmp_path / "in", code=1)
    assert "holds files that no export wrote" in ended.stderr
    export(out, "--format", "dicom", "--to", tmp_path / "seg")
    store(tmp_path / "seg" / "one.dcm", mine)
    ended = export(out, "--format", "dicom", "--to", tmp_path / "seg", code=3)
    assert "exists and no export wrote it" in ended.stdout
    assert (tmp_path / "seg" / "one.dcm").read_bytes() == mine
