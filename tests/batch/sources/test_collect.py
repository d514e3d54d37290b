"""Walking folders, files and patterns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch.errors import SourceError
from batch.output_mark import mark
from batch.sources.bytes import FileBytes
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef, Origin

SUFFIXES = frozenset({".jpg", ".png"})


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def relatives(*sources: Path | str, excluded: tuple[Path, ...] = ()) -> list[str]:
    return [item.relative for item in Sources([str(source) for source in sources], SUFFIXES, excluded)]


def test_a_folder_is_walked_in_a_fixed_order(tmp_path: Path) -> None:
    tree(tmp_path, "z.jpg", "b/2.png", "b/10.JPG", "a/c/x.jpg", "a.jpg", "notes.txt", "b/.hidden.jpg", ".git/x.jpg")
    tree(tmp_path, "a/readme", "a/Thumbs.DB")
    sources = Sources([str(tmp_path)], SUFFIXES)
    assert [item.relative for item in sources] == ["a.jpg", "z.jpg", "a/c/x.jpg", "b/10.JPG", "b/2.png"]
    assert sources.report.others == {".txt": 1, "": 1, ".db": 1}
    assert sources.report.hidden == 2
    assert sources.count() == 5


def test_an_item_says_what_it_is(tmp_path: Path) -> None:
    path = tree(tmp_path, "a/x.jpg") / "a" / "x.jpg"
    os.utime(path, ns=(5, 1_234_567_891_234_567_891))
    source = str(tmp_path)
    assert list(Sources([source], SUFFIXES)) == [
        ImageRef(
            str(path),
            "a/x.jpg",
            Origin(source, source, tmp_path.name),
            7,
            1_234_567_891_234_567_891,
            FileBytes(str(path)),
        )
    ]


def test_a_file_is_taken_by_name_whatever_its_suffix(tmp_path: Path) -> None:
    tree(tmp_path, "a/photo.dat", "b/.x.jpg")
    assert relatives(tmp_path / "a/photo.dat", tmp_path / "b/.x.jpg") == ["photo.dat", ".x.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        ("**/*.jpg", ["a.jpg", "d/b.jpg", "d/e/c.jpg"]),
        ("d/**", ["b.jpg", "e/c.jpg"]),
        ("*/*.jpg", ["d/b.jpg"]),
        ("d/e/*.tx?", []),
        ("d/**/*.txt", ["e/n.txt"]),
        ("d*", ["d/b.jpg", "d/e/c.jpg"]),
        ("[ab].jpg", ["a.jpg"]),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    tree(tmp_path, "a.jpg", "d/b.jpg", "d/e/c.jpg", "d/e/n.txt", ".h/x.jpg")
    if expected:
        assert relatives(f"{tmp_path}/{pattern}") == (expected if pattern != "d/**" else ["b.jpg", "e/c.jpg"])
    else:
        with pytest.raises(SourceError, match="No image matches"):
            relatives(f"{tmp_path}/{pattern}")


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    tree(tmp_path, "img[1].jpg", "img1.jpg")
    assert relatives(tmp_path / "img[1].jpg") == ["img[1].jpg"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    tree(tmp_path, "a/x.jpg", "b/y.jpg")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/to-b").symlink_to(tmp_path / "b")
    (tmp_path / "b/to-a").symlink_to(tmp_path / "a")
    (tmp_path / "b/self.jpg").symlink_to(tmp_path / "b/self.jpg")
    found = relatives(tmp_path)
    assert {"a/x.jpg", "b/y.jpg", "b/self.jpg"} <= set(found)
    assert len(found) < 10
    assert relatives(f"{tmp_path}/**/x.jpg") == ["a/x.jpg"]


def test_a_linked_folder_and_a_linked_file_are_followed(tmp_path: Path) -> None:
    tree(tmp_path, "store/1.jpg", "archive/a.jpg")
    (tmp_path / "archive/link").symlink_to(tmp_path / "store")
    (tmp_path / "archive/b.jpg").symlink_to(tmp_path / "store/1.jpg")
    assert relatives(tmp_path / "archive") == ["a.jpg", "b.jpg", "link/1.jpg"]


def test_one_file_by_two_ways_has_one_path(tmp_path: Path) -> None:
    tree(tmp_path, "d/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    named = [str(tmp_path / "d"), f"{tmp_path}/d/../d/a.jpg", str(tmp_path / "link"), str(tmp_path / "link/a.jpg")]
    assert len({item.path for item in Sources(named, SUFFIXES)}) == 1


def test_a_link_to_nothing_and_a_pipe_are_items_that_will_fail(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [(item.relative, item.bytes) for item in Sources([str(tmp_path)], SUFFIXES)] == [
        ("gone.jpg", -1),
        ("pipe.jpg", -1),
    ]


def test_output_folders_are_no_sources(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "masks/a.png", "pictures/a.jpg", "earlier/sub/x.png")
    mark(tmp_path / "earlier")
    sources = Sources([str(tmp_path)], SUFFIXES, excluded=[tmp_path / "masks", tmp_path / "pictures"])
    assert [item.relative for item in sources] == ["a.jpg"]
    assert len(sources.report.outputs) == 3


@pytest.mark.parametrize("source", ["out", "out/in", "out/a.jpg"])
def test_a_source_in_the_output_folder_is_refused(tmp_path: Path, source: str) -> None:
    tree(tmp_path, "out/in/b.jpg", "out/a.jpg")
    with pytest.raises(SourceError, match="lies in the output folder"):
        relatives(tmp_path / source, excluded=(tmp_path / "out",))


def test_a_source_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist") as caught:
        Sources([str(tmp_path / "none")], SUFFIXES)
    assert caught.value.exit_code == 2


def test_a_source_that_is_not_there_leaves_the_others(tmp_path: Path) -> None:
    sources = Sources([str(tmp_path / "none"), str(tree(tmp_path, "a.jpg"))], SUFFIXES)
    assert [item.relative for item in sources] == ["a.jpg"]
    assert [str(tmp_path / "none") in line for line in sources.report.unreadable] == [True]


def test_an_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.jpg", "closed/b.jpg")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, so permissions cannot be the test
    sources = Sources([str(tmp_path)], SUFFIXES)
    assert [item.relative for item in sources] == ["a.jpg"]
    assert sources.report.unreadable == [f"{tmp_path / 'closed'}: Permission denied"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        (tmp_path / name).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert relatives(tmp_path) == [name]


@pytest.mark.parametrize("source", ["", "*/*", "**/*.jpg"])
def test_what_is_counted_is_what_is_taken(tmp_path: Path, source: str) -> None:
    tree(tmp_path, "a.jpg", "b/c.JPG", "b/z.heic", "b/notes.txt", "x_Data/d.jpg", "x_GroundTruth/d.png", "out/e.jpg")
    (tmp_path / "b" / "IM1").write_bytes(b"\xff\xd8\xff\xe0")
    mark(tmp_path / "out")
    sources = Sources([os.path.join(tmp_path, source)], SUFFIXES)
    found = list(sources)
    assert sources.count() == len(found) == {"": 4, "*/*": 3, "**/*.jpg": 3}[source]


def test_counting_can_be_stopped(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    assert Sources([str(tmp_path)], SUFFIXES).count(lambda: True) is None


def test_the_walk_is_lazy(tmp_path: Path) -> None:
    tree(tmp_path, *(f"{folder}/{number}.jpg" for folder in "ab" for number in range(3)))
    items = iter(Sources([str(tmp_path)], SUFFIXES))
    next(items)
    tree(tmp_path, "b/new.jpg")
    assert "b/new.jpg" in [item.relative for item in items]
