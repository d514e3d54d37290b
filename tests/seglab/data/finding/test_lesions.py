"""Tables of lesions: every form in which they are delivered, and what is no such table or does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglab.data.finding.lesions import lesions_of
from seglab.errors import DataError

IDS = [f"ISIC_{24306 + number:07d}" for number in range(6)]
LESIONS = {id: f"HAM_{number // 2:07d}" for number, id in enumerate(IDS)}
HEAD = "lesion_id,image_id,dx\n"
TABLE = HEAD + "".join(f"{lesion},{id},nv\n" for id, lesion in LESIONS.items())

FORMS: dict[str, tuple[str, str | bytes]] = {
    "csv": ("HAM10000_metadata.csv", TABLE),
    "no suffix": ("HAM10000_metadata", TABLE),
    "text": ("HAM10000_metadata.txt", TABLE),
    "tab": ("HAM10000_metadata.tab", TABLE.replace(",", "\t")),
    "quoted tab": ("x.tab", "".join('"' + line.replace(",", '"\t"') + '"\n' for line in TABLE.splitlines())),
    "isic-cli": ("metadata.csv", "isic_id,lesion_id\n" + "".join(f"{id},{les}\n" for id, les in LESIONS.items())),
    "groupings": (
        "ISIC2018_Task3_Training_LesionGroupings.csv",
        "image,lesion_id,lesion_id confidence\n" + "".join(f"{id},{les},x\n" for id, les in LESIONS.items()),
    ),
    "suffix": ("any.csv", TABLE.replace(",nv", ".jpg,nv")),
    "folder": ("any.csv", TABLE.replace("ISIC_", "images\\ISIC_")),
    "lower case": ("any.csv", TABLE.replace("ISIC", "isic")),
    "byte order mark": ("any.csv", b"\xef\xbb\xbf" + TABLE.encode()),
    "utf-16": ("any.csv", TABLE.encode("utf-16")),
    "semicolons and CRLF": ("any.csv", TABLE.replace(",", ";").replace("\n", "\r\n")),
    "capitals": ("any.csv", TABLE.replace("lesion_id,image_id", "Lesion ID,Image ID")),
    "a column of its own": ("any.csv", TABLE.replace("image_id", "picture")),
    "among other columns": (
        "any.csv",
        "id,photo,lesion_id\n" + "".join(f"{n},{id},{les}\n" for n, (id, les) in enumerate(LESIONS.items())),
    ),
    "deeper": ("a/b/c/any.csv", TABLE),
    "two rows alike": ("any.csv", TABLE + TABLE.removeprefix(HEAD)),
}


def write(root: Path, name: str, text: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    write(tmp_path, *FORMS[form])
    found = lesions_of(tmp_path, IDS)
    assert found.of == LESIONS
    assert found.tables == (FORMS[form][0],)
    assert found.listed == set(IDS)


@pytest.mark.parametrize(
    "text",
    ["image,melanoma\nISIC_0024306,1\n", "", "a\n", "lesion_id,age\nHAM_1,3\n", "patient_id,image_name\n1,ISIC_1\n"],
    ids=["diagnoses", "empty", "one word", "no image", "no lesion"],
)
def test_other_tables_are_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, "table.csv", text)
    assert lesions_of(tmp_path, IDS).tables == ()
    assert not lesions_of(tmp_path, IDS).listed


def test_what_a_table_does_not_say_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "metadata.csv", f"isic_id,lesion_id\n{IDS[0]},IL_1\n{IDS[1]},IL_1\n{IDS[2]},\n")
    found = lesions_of(tmp_path, IDS)
    assert found.of == {IDS[0]: "IL_1", IDS[1]: "IL_1"}
    assert found.listed == set(IDS[:3])


def test_a_table_of_other_images_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "metadata.csv", TABLE)
    with pytest.raises(
        DataError, match=r"None of the 6 rows of metadata\.csv.*rows such as isic_0024306, images such as x"
    ):
        lesions_of(tmp_path, ["x", "y"])
    write(tmp_path, "HAM10000_metadata", "image,dx\n")
    with pytest.raises(DataError, match="lacks the columns image_id and lesion_id"):
        lesions_of(tmp_path, IDS)


def test_a_row_that_contradicts_another_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "metadata.csv", f"{TABLE}HAM_9,{IDS[0]},nv\n")
    with pytest.raises(DataError, match=r"two lesions for .*, 'HAM_0000000' and 'HAM_9'"):
        lesions_of(tmp_path, IDS)


def test_tables_may_have_names_of_their_own_and_must_group_alike(tmp_path: Path) -> None:
    write(tmp_path, "HAM10000_metadata.csv", TABLE[: TABLE.index("HAM_0000002")])
    renamed = TABLE.replace("HAM_", "IL_")
    write(tmp_path, "metadata.csv", renamed)
    groups = list(lesions_of(tmp_path, IDS).of.values())
    assert [groups.index(lesion) for lesion in groups] == [0, 0, 2, 2, 4, 4]
    for wrong in (renamed.replace("IL_0000001", "IL_0000000"), renamed.replace("IL_0000000", "IL_0000009", 1)):
        write(tmp_path, "metadata.csv", wrong)
        with pytest.raises(DataError, match="disagree on which images show the same lesion"):
            lesions_of(tmp_path, IDS)


def test_linked_folders_are_walked_once(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/metadata.csv", TABLE)
    (tmp_path / "set").mkdir()
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "set")
    assert lesions_of(tmp_path / "set", IDS).of == LESIONS
