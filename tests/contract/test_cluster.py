"""``seg-batch cluster``: every image has one row and every good one a mask, the same as a run makes, whatever dies."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batch.cli import main
from tests.support.archive import command, masks_below, save_many, seg_batch
from tests.support.cluster_jobs import files_of, key_folder, ledger_rows, masks_of, plan, progress, run_words
from tests.support.faults import ended, faulty, happened, healthy, started, tar_of, write_images
from tests.support.faults import run_words as words_of_run

pytest.importorskip("pyarrow")


def reference(source: Path, out: Path, model: Path, *options: str) -> dict[str, bytes]:
    """Return the masks of ``seg-batch run``."""
    done = seg_batch(*words_of_run(source, out, model, *options))
    assert done.returncode in (0, 3), done.stderr
    return masks_below(out)


@pytest.mark.slow
def test_a_job_makes_the_masks_of_a_run(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(23) | {"a/b/000.png": healthy(1)["000.png"], "bad.jpg": b"no image"})
    assert "25 images in 3 units" in plan(source, tmp_path / "job", model_file, "--unit", "10")
    done = seg_batch(*run_words(tmp_path / "job"))
    assert done.returncode == 3, done.stderr
    assert "3 of 3 units done" in done.stdout
    assert "1 failed: Not an image" in done.stdout
    assert masks_of(tmp_path / "job") == reference(source, tmp_path / "out", model_file)
    assert len(ledger_rows(tmp_path / "job")) == 25
    assert not files_of(tmp_path / "job", "attempts")


@pytest.mark.slow
def test_a_second_run_does_nothing_again(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(6))
    plan(source, tmp_path / "job", model_file, "--unit", "2")
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in key_folder(tmp_path / "job").rglob("*") if path.is_file()}
    done = seg_batch(*run_words(tmp_path / "job"))
    assert done.returncode == 0, done.stderr
    assert "0 units to do" in done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--mask-bits", "1"), ("--exact",), ("--postprocess", "largest,fill")])
def test_options_are_those_of_a_run(model_file: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    source = write_images(tmp_path / "in", healthy(5))
    plan(source, tmp_path / "job", model_file, *options)
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    assert masks_of(tmp_path / "job") == reference(source, tmp_path / "out", model_file, *options)


@pytest.mark.slow
def test_masks_as_files(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(7) | {"x/000.png": healthy(1, 3)["000.png"]})
    plan(source, tmp_path / "job", model_file, "--unit", "3", "--masks", "objects")
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    assert masks_below(key_folder(tmp_path / "job") / "masks") == reference(source, tmp_path / "out", model_file)
    assert seg_batch("cluster", "verify", tmp_path / "job").returncode == 0


@pytest.mark.slow
def test_shards_together_do_everything_once(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(26))
    job = tmp_path / "job"
    plan(source, job, model_file, "--unit", "3")
    running = [
        subprocess.Popen(command(*run_words(job, "--shard", f"{number}/3")), stderr=subprocess.PIPE)
        for number in (1, 2, 3, 2)
    ]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert masks_of(job) == reference(source, tmp_path / "out", model_file)
    assert progress(job)["images"] == {"planned": 26, "done": 26, "failed": 0}


def test_an_array_job_names_the_shard(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_images(tmp_path / "in", healthy(6))
    plan(source, tmp_path / "job", model_file, "--unit", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    assert files_of(tmp_path / "job", "ledger") == {"u-00001.parquet"}


@pytest.mark.slow
def test_a_killed_run_loses_the_unit_in_work_and_nothing_else(model_file: Path, tmp_path: Path) -> None:
    images = healthy(12) | {"006.png": healthy(12, fault="hang:1")["006.png"]}
    source = write_images(tmp_path / "in", images)
    job = tmp_path / "job"
    plan(source, job, model_file, "--unit", "4")
    with started(tmp_path, *run_words(job)) as run:
        run.in_time("hang", tmp_path)
        run.kill()
    assert files_of(job, "ledger") == {"u-00000.parquet"}
    assert not any(name.endswith(".part") for name in files_of(job, "ledger"))
    code, said = ended(tmp_path, *run_words(job))
    assert code == 0, said
    assert "2 units to do" in said
    assert masks_of(job) == reference(write_images(tmp_path / "whole", healthy(12)), tmp_path / "out", model_file)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_stopped_run_leaves_no_mark(model_file: Path, tmp_path: Path, number: signal.Signals) -> None:
    source = write_images(tmp_path / "in", healthy(3) | {"001.png": healthy(3, fault="hang:1")["001.png"]})
    plan(source, tmp_path / "job", model_file)
    with started(tmp_path, *run_words(tmp_path / "job")) as run:
        run.in_time("hang", tmp_path)
        run.process.send_signal(number)
        assert run.wait() == 130
        assert "run the same command again" in run.said
    assert ended(tmp_path, *run_words(tmp_path / "job"))[0] == 0


@pytest.mark.parametrize("fault", ["crash", *(pytest.param(each, marks=pytest.mark.slow) for each in ("kill", "exit"))])
def test_an_image_that_ends_its_process_is_a_failed_row(model_file: Path, tmp_path: Path, fault: str) -> None:
    source = write_images(tmp_path / "in", faulty(fault, count=8))
    job = tmp_path / "job"
    plan(source, job, model_file, "--unit", "5")
    code, said = ended(tmp_path, *run_words(job))
    assert code == 3, said
    failed = [row for row in ledger_rows(job) if row["status"] == "failed"]
    assert [Path(row["path"]).stem.rpartition("-")[2] for row in failed] == [fault]
    assert "ended twice" in failed[0]["error"]
    whole = reference(source, tmp_path / "out", model_file)  # its file is a good one without the fault
    del whole[failed[0]["mask"]]
    assert masks_of(job) == whole
    assert happened(tmp_path, fault) <= 5


@pytest.mark.parametrize("fault", ["clutch", pytest.param("hang", marks=pytest.mark.slow)])
def test_an_image_that_hangs_is_a_failed_row(model_file: Path, tmp_path: Path, fault: str) -> None:
    source = write_images(tmp_path / "in", faulty(fault, count=4))
    plan(source, tmp_path / "job", model_file)
    code, said = ended(tmp_path, *run_words(tmp_path / "job", "--timeout", "2"))
    assert code == 3, said
    (failed,) = [row for row in ledger_rows(tmp_path / "job") if row["status"] == "failed"]
    assert "longer than 2 s, twice" in failed["error"]


@pytest.mark.slow
def test_failed_images_are_tried_again_if_asked(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(6) | {"002.png": b"broken", "004.png": b"broken"})
    job = tmp_path / "job"
    plan(source, job, model_file, "--unit", "3")
    assert seg_batch(*run_words(job)).returncode == 3
    write_images(source, {"002.png": healthy(6)["002.png"]})
    done = seg_batch(*run_words(job, "--retry"))
    assert done.returncode == 3, done.stderr
    assert files_of(job, "ledger") == {
        "u-00000.parquet", "u-00000-r1.parquet", "u-00001.parquet", "u-00001-r1.parquet"
    }  # fmt: skip
    assert progress(job)["images"] == {"planned": 6, "done": 5, "failed": 1}
    assert seg_batch("cluster", "collect", job, "--to", tmp_path / "masks").returncode == 3
    write_images(source, {"004.png": healthy(6)["004.png"]})
    assert seg_batch(*run_words(job, "--retry")).returncode == 0
    assert seg_batch("cluster", "collect", job, "--to", tmp_path / "masks").returncode == 0
    assert masks_below(tmp_path / "masks") == reference(source, tmp_path / "out", model_file)


def test_an_edited_manifest_is_refused(model_file: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    source = write_images(tmp_path / "in", healthy(4))
    plan(source, tmp_path / "job", model_file, "--unit", "2")
    part = key_folder(tmp_path / "job") / "manifest" / "u-00001.parquet"
    table = pyarrow.parquet.read_table(part)
    masks = pyarrow.array(["../../out.png", "x.png"])
    edited = table.set_column(table.column_names.index("mask"), "mask", masks).replace_schema_metadata(
        table.schema.metadata
    )
    pyarrow.parquet.write_table(edited, part)
    done = seg_batch(*run_words(tmp_path / "job"))
    assert done.returncode == 1
    assert "u-00001.parquet was changed after it was planned" in done.stderr
    assert files_of(tmp_path / "job", "ledger") == {"u-00000.parquet"}
    assert not (tmp_path / "out.png").exists()


@pytest.mark.slow
def test_a_missing_image_is_a_failed_row(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(4))
    plan(source, tmp_path / "job", model_file)
    (source / "002.png").unlink()
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 3
    (failed,) = [row for row in ledger_rows(tmp_path / "job") if row["status"] == "failed"]
    assert failed["path"] == str(source / "002.png")
    assert "cannot be read" in failed["error"]


@pytest.mark.slow
def test_collected_masks_are_an_output_that_a_run_continues(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "in", 5)
    write_images(tmp_path / "more", healthy(3))
    sources = (tmp_path / "in", tmp_path / "more")
    plan(sources[0], tmp_path / "job", model_file, sources[1], "--unit", "3")
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    out = tmp_path / "masks"
    assert seg_batch("cluster", "collect", tmp_path / "job", "--to", out).returncode == 0
    assert seg_batch("verify", out).returncode == 0
    done = seg_batch("run", *sources, "--out", out, "--model", model_file, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["skipped"] == 8
    again = seg_batch("cluster", "collect", tmp_path / "job", "--to", out)
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["masks.zip", "masks.tar", "t.csv", "t.parquet", "t.jsonl", "l/ledger.sqlite"])
def test_collected_into_a_file(model_file: Path, tmp_path: Path, name: str) -> None:
    source = write_images(tmp_path / "in", healthy(4))
    plan(source, tmp_path / "job", model_file, "--unit", "3")
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    (tmp_path / "l").mkdir()
    done = seg_batch("cluster", "collect", tmp_path / "job", "--to", tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert "4 images done, 0 failed" in done.stdout
    assert (tmp_path / name).stat().st_size > 0


@pytest.mark.slow
def test_a_table_of_a_job_is_that_of_a_run(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(4) | {"bad.png": b"x"})
    plan(source, tmp_path / "job", model_file)
    seg_batch(*run_words(tmp_path / "job"))
    seg_batch("cluster", "collect", tmp_path / "job", "--to", tmp_path / "job.jsonl")
    reference(source, tmp_path / "out", model_file)
    seg_batch("table", tmp_path / "out", tmp_path / "run.jsonl")
    of_job, of_run = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in ("job.jsonl", "run.jsonl")
    )
    for row, other in zip(of_job, of_run, strict=True):
        assert set(row) == set(other)
        if row["status"] == "done":
            assert row["confidence"] == pytest.approx(other["confidence"], rel=1e-6)
        for own in ("seconds", "finished_at", "confidence"):
            row.pop(own), other.pop(own)
        assert row == other


@pytest.mark.slow
def test_a_damaged_mask_is_found_and_made_again(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(6))
    job = tmp_path / "job"
    plan(source, job, model_file, "--unit", "3")
    assert seg_batch(*run_words(job)).returncode == 0
    whole = masks_of(job)
    (tar,) = (key_folder(job) / "masks").glob("u-00000-*.tar")
    data = bytearray(tar.read_bytes())
    data[600] ^= 1
    tar.write_bytes(data)
    assert seg_batch("cluster", "collect", job, "--to", tmp_path / "masks").returncode == 3
    done = seg_batch("cluster", "verify", job, "--redo")
    assert done.returncode == 3
    assert "1 missing or wrong" in done.stdout
    assert seg_batch(*run_words(job)).returncode == 0
    assert "1 tar of attempts" in seg_batch("cluster", "clean", job).stdout
    assert masks_of(job) == whole
    assert seg_batch("cluster", "verify", job).returncode == 0


def test_clean_leaves_what_counts(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(4))
    job = tmp_path / "job"
    plan(source, job, model_file, "--unit", "2")
    assert seg_batch(*run_words(job, "--shard", "1/2")).returncode == 0
    folder = key_folder(job)
    (folder / "masks" / "u-00000-0123456789ab.tar").write_bytes(b"of an attempt that came second")
    (folder / "masks" / "u-00001-0123456789ab.tar").write_bytes(b"perhaps in work")
    (folder / "masks" / "notes.txt").write_text("somebody's")
    before = masks_of(job)
    done = seg_batch("cluster", "clean", job)
    assert done.returncode == 0
    assert files_of(job, "masks") >= {"u-00001-0123456789ab.tar", "notes.txt"}
    assert "u-00000-0123456789ab.tar" not in files_of(job, "masks")
    assert masks_of(job) == before


@pytest.mark.slow
def test_archives_on_a_shared_disk(model_file: Path, tmp_path: Path) -> None:
    images = healthy(9)
    (tmp_path / "in.tar").write_bytes(tar_of({f"t/{name}": data for name, data in images.items()}))
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in images.items():
            archive.writestr(f"z/{name}", data)
    sources = (tmp_path / "in.tar", tmp_path / "in.zip")
    plan(sources[0], tmp_path / "job", model_file, sources[1], "--unit", "4")
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    done = seg_batch("run", *sources, "--out", tmp_path / "out", "--model", model_file, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert masks_of(tmp_path / "job") == masks_below(tmp_path / "out")


def test_a_stream_is_refused_before_anything_is_planned(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "in.tar.gz").write_bytes(tar_of(healthy(3), "w:gz"))
    words = ("--job", tmp_path / "job", "--model", model_file, "--device", "cpu")
    done = seg_batch("cluster", "plan", tmp_path / "in.tar.gz", *words)
    assert done.returncode != 0
    assert "comes from a compressed tar or a stream" in done.stderr
    assert not list((tmp_path / "job").rglob("job.json"))
    assert seg_batch("cluster", "run", tmp_path / "job").returncode == 1


@pytest.mark.slow
def test_a_plan_is_made_once(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(3))
    plan(source, tmp_path / "job", model_file)
    words = ("--job", tmp_path / "job", "--model", model_file, "--device", "cpu")
    done = seg_batch("cluster", "plan", source, *words)
    assert done.returncode == 1
    assert "is planned already" in done.stderr
    assert seg_batch("cluster", "plan", source, *words, "--exact").returncode == 0, "other settings are another key"
    done = seg_batch(*run_words(tmp_path / "job"))
    assert done.returncode == 1
    assert "holds 2 jobs" in done.stderr
    for key in (tmp_path / "job").glob("key=*"):
        assert seg_batch(*run_words(key)).returncode == 0


@pytest.mark.slow
def test_a_plan_that_was_stopped_leaves_nothing_that_counts(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(5))
    plan(source, tmp_path / "job", model_file, "--unit", "1")
    gone = {"plan": "x", "host": socket.gethostname(), "process": 2**22 + 1, "began_at": "then"}
    (key_folder(tmp_path / "job") / "job.json").unlink()  # the last file of a plan
    (key_folder(tmp_path / "job") / "plan.json").write_text(json.dumps(gone))
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 1
    plan(source, tmp_path / "job", model_file, "--unit", "2")
    assert files_of(tmp_path / "job", "manifest") == {f"u-0000{number}.parquet" for number in range(3)}
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    assert len(masks_of(tmp_path / "job")) == 5


@pytest.mark.slow
def test_a_job_is_never_read_as_photographs(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(3))
    plan(source, source / "job", model_file, "--masks", "objects")
    assert seg_batch(*run_words(source / "job")).returncode == 0
    done = seg_batch("run", source, "--out", tmp_path / "out", "--model", model_file, "--device", "cpu", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["done"] == 3


@pytest.mark.slow
def test_files_of_the_user_are_not_replaced_by_collect(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(3))
    plan(source, tmp_path / "job", model_file)
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    for name in ("masks/001.png", "masks.zip", "table.csv"):
        write_images(tmp_path / "mine", {name: b"mine"})
        done = seg_batch("cluster", "collect", tmp_path / "job", "--to", tmp_path / "mine" / Path(name).parts[0])
        assert done.returncode == 1, done.stdout
        assert done.stderr.count("expected") == 1
        assert (tmp_path / "mine" / name).read_bytes() == b"mine"


@pytest.mark.slow
def test_a_shard_answers_for_its_own_units(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(4) | {"000.png": b"broken"})
    plan(source, tmp_path / "job", model_file, "--unit", "2")
    assert seg_batch(*run_words(tmp_path / "job", "--shard", "1/2")).returncode == 3
    done = seg_batch(*run_words(tmp_path / "job", "--shard", "2/2"))
    assert done.returncode == 0, done.stderr
    assert "1 of 1 unit done" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": 10**12}, "lacks 999,999,999,999 parts"),
        ({"units": "many"}, "is damaged"),
        ({"options": {"mask_bits": 1}}, "was changed, or another release planned it"),
        ({"format_version": 99}, "has format 99"),
        ({"masks": "zip"}, "is damaged"),
        ({"model": None}, "is damaged"),
    ],
)
def test_an_edited_description_is_refused(model_file: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    source = write_images(tmp_path / "in", healthy(2))
    plan(source, tmp_path / "job", model_file)
    file = key_folder(tmp_path / "job") / "job.json"
    found = json.loads(file.read_text())
    for name, value in change.items():
        found[name] = {**found[name], **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(found))
    done = CliRunner().invoke(main, ["cluster", "run", str(tmp_path / "job")])
    assert done.exit_code == 1
    assert said in done.stderr


@pytest.mark.slow
def test_two_plans_at_once_make_one_job(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(12))
    words = ("cluster", "plan", source, "--job", tmp_path / "job", "--model", model_file, "--device", "cpu")
    both = [subprocess.Popen(command(*words, "--unit", unit), stderr=subprocess.PIPE, text=True) for unit in ("1", "2")]
    said = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    assert any("is being planned" in text or "is planned already" in text for text in said)
    assert seg_batch(*run_words(tmp_path / "job")).returncode == 0
    assert len(masks_of(tmp_path / "job")) == 12
    assert not (key_folder(tmp_path / "job") / "plan.json").exists()


def test_a_plan_without_images_leaves_nothing(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = ("--job", tmp_path / "job", "--model", model_file, "--device", "cpu")
    done = seg_batch("cluster", "plan", tmp_path / "empty", *words)
    assert done.returncode == 2
    assert "No image was found" in done.stderr
    assert not (tmp_path / "job").exists()


def test_files_that_no_plan_made_are_not_touched(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(2))
    plan(source, tmp_path / "job", model_file)
    folder = key_folder(tmp_path / "job")
    (folder / "job.json").unlink()  # lost from a job in work
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    words = ("--job", tmp_path / "job", "--model", model_file, "--device", "cpu")
    done = seg_batch("cluster", "plan", source, *words)
    assert done.returncode == 1
    assert "but no job.json" in done.stderr
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_damaged_part_of_the_ledger_is_redone(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(4))
    job = tmp_path / "job"
    plan(source, job, model_file, "--unit", "2")
    assert seg_batch(*run_words(job)).returncode == 0
    whole = masks_of(job)
    (key_folder(job) / "ledger" / "u-00001.parquet").write_bytes(b"PAR1")
    assert "verify --redo" in seg_batch("cluster", "status", job).stderr
    assert seg_batch("cluster", "verify", job, "--redo").returncode == 3
    assert seg_batch(*run_words(job)).returncode == 0
    assert masks_of(job) == whole


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--device", "cuda:0"), "NVIDIA driver"),
        (("--timeout", "nan"), "timeout is nan"),
        (("--shard", ""), "is not a shard"),
        (("--shard", "4/3"), "is not a shard"),
    ],
)
def test_a_run_that_cannot_begin_says_why_and_nothing_else(
    model_file: Path, tmp_path: Path, options: tuple[str, str], said: str
) -> None:
    source = write_images(tmp_path / "in", healthy(1))
    plan(source, tmp_path / "job", model_file)
    done = seg_batch("cluster", "run", tmp_path / "job", "--processes", "1", *options)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["job/x", "x.sqlite", "x.json", "s3://b/x"])
def test_places_that_nothing_is_collected_into(model_file: Path, tmp_path: Path, name: str) -> None:
    source = write_images(tmp_path / "in", healthy(1))
    plan(source, tmp_path / "job", model_file)
    to = name if "://" in name else str(tmp_path / name)
    done = seg_batch("cluster", "collect", tmp_path / "job", "--to", to)
    assert done.returncode == 2
    assert "expected" in done.stderr
    assert not (tmp_path / name).exists()


@pytest.mark.slow
def test_a_file_that_the_user_made_meanwhile_is_not_replaced(model_file: Path, tmp_path: Path) -> None:
    """An image fails, its mask is drawn by hand, then the image is mended and its mask comes."""
    source = write_images(tmp_path / "in", healthy(3) | {"001.png": b"broken"})
    job, out = tmp_path / "job", tmp_path / "masks"
    plan(source, job, model_file)
    assert seg_batch(*run_words(job)).returncode == 3
    assert seg_batch("cluster", "collect", job, "--to", out).returncode == 3
    write_images(tmp_path, {"masks/001.png": b"mine", "in/001.png": healthy(3)["001.png"]})
    assert seg_batch(*run_words(job, "--retry")).returncode == 0
    for _ in range(3):
        done = seg_batch("cluster", "collect", job, "--to", out)
        assert done.returncode == 3, done.stdout
        assert (out / "001.png").read_bytes() == b"mine"
    (out / "001.png").unlink()
    assert seg_batch("cluster", "collect", job, "--to", out).returncode == 0


@pytest.mark.slow
def test_a_run_leaves_no_temporary_files(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", faulty("crash", count=3))
    plan(source, tmp_path / "job", model_file)
    assert ended(tmp_path, *run_words(tmp_path / "job"))[0] == 3
    assert not list((tmp_path / "tmp").rglob("*"))


@pytest.mark.slow
def test_redo_of_a_unit_that_was_retried(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(4) | {"001.png": b"broken"})
    job = tmp_path / "job"
    plan(source, job, model_file)
    for options in ((), ("--retry",)):
        assert seg_batch(*run_words(job, *options)).returncode == 3
    (tar,) = (key_folder(job) / "masks").glob("*.tar")
    tar.unlink()
    write_images(source, {"001.png": healthy(4)["001.png"]})
    assert seg_batch("cluster", "verify", job, "--redo").returncode == 3
    assert seg_batch(*run_words(job)).returncode == 0
    assert progress(job)["images"] == {"planned": 4, "done": 4, "failed": 0}
    assert seg_batch("cluster", "collect", job, "--to", tmp_path / "masks").returncode == 0
