"""Bring what a job made to one place: an output like that of a run, its ledger alone, or a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from batch.cluster.collected_ledger import FilledLedger
from batch.cluster.files.job import OpenJob
from batch.cluster.files.names import MASKS, UnitName
from batch.cluster.files.parts import Row, read_rows
from batch.cluster.files.place import local_folder
from batch.cluster.stored_masks import StoredMasks
from batch.cluster.units import Units, units_of
from batch.errors import cannot_write, printable
from batch.ledger.records import CLASS_NAMES, CONFIDENCE_BY, RunRecord
from batch.ledger.schema import ledger_path
from batch.naming import NameTemplate
from batch.output_mark import LEDGER_NAME, mark
from batch.outputs.base import Store, why_not_written
from batch.outputs.spec import Output
from batch.reporting.ledger_table import LEDGER_TABLE, table_row
from batch.running.report import RunReport
from batch.urls import is_url
from seglab.errors import ConfigError
from seglab.files import has_content
from seglab.words import counted

TABLES = (".csv", ".jsonl", ".parquet")
OTHER_FILES = frozenset({".sqlite", ".db", ".json", ".txt", ".xlsx", ".gz", ".tgz", ".7z"})
DAMAGED = "Its mask in the job is missing or damaged. `seg-batch cluster verify --redo` lets a run make it again."
ON_CLUSTER = "cluster"


class Advance(Protocol):
    """Is called with the number of images of the job, and how many more were collected."""

    def __call__(self, total: int, images: int = 1) -> None: ...


@dataclass
class Collected:
    """What was collected: ``done`` and ``failed`` images, ``pending`` units that are not done yet, ``damaged`` masks,
    and ``where`` it is.
    """

    where: str
    done: int = 0
    failed: int = 0
    pending: int = 0
    damaged: int = 0

    @property
    def is_complete(self) -> bool:
        """Return whether every image of the job has its mask here."""
        return not (self.failed or self.pending or self.damaged)

    def lines(self) -> Iterator[str]:
        """Yield it as a person reads it."""
        yield f"{counted(self.done, 'image')} done, {self.failed:,} failed: {printable(self.where)}"
        if self.damaged:
            yield f"  {counted(self.damaged, 'mask')} of the job missing or damaged: `seg-batch cluster verify --redo`"
        if self.pending:
            yield f"  {counted(self.pending, 'unit')} of the job not done yet: run it, and collect again"


def collect(job: OpenJob, to: str, advance: Advance = lambda total, images=1: None) -> Collected:
    """Collect a job: into a table (``.csv``, ``.jsonl``, ``.parquet``), a ledger (``ledger.sqlite``), or an output (a
    folder, ``.zip`` or ``.tar``) that later runs can continue. What an earlier call collected is not written again.

    ``advance``: is called for each image, with the number of images of the job. Raises :class:`OutputError`,
    :class:`seglab.errors.ConfigError`.
    """
    path = Path(to)
    _require_target(job, to, path)
    units = units_of(job)
    if path.suffix.lower() in TABLES:
        return _into_table(job, units, path, advance)
    if path.name == LEDGER_NAME:
        return _into_ledger(job, units, path, advance)
    return _into_output(job, units, Output.of(to), advance)


def _require_target(job: OpenJob, to: str, path: Path) -> None:
    """Raise :class:`ConfigError` for a target that is a URL, a file of another kind, or inside the job."""
    folder = local_folder(job.place)
    is_other = path.suffix.lower() in OTHER_FILES and path.name != LEDGER_NAME and not path.is_dir()
    if is_url(to) or is_other:
        raise ConfigError(
            f"{printable(to)} cannot be collected into; expected a folder, a name that ends in .zip, .tar, "
            f"{', '.join(TABLES)}, or {LEDGER_NAME} in a folder. Correct --to."
        )
    if folder is not None and folder.parent.resolve() in (path.resolve(), *path.resolve().parents):
        raise ConfigError(f"{printable(to)} lies in the job; expected another place. Correct --to.")


def _into_table(job: OpenJob, units: Units, path: Path, advance: Advance) -> Collected:
    found = Collected(str(path), pending=len(units.pending))

    def rows() -> Iterator[dict[str, Any]]:
        for row in _all_rows(job, units, found):
            advance(job.job.images)
            about = {"key": job.job.key, "model_sha256": job.job.model.sha256}
            by = job.job.model.confidence_by if row["status"] == "done" else None
            mask = row["mask"] if row["status"] == "done" else None
            yield table_row({**row, **about, "mask": mask, CONFIDENCE_BY: by})

    LEDGER_TABLE.write(rows(), path)
    return found


def _all_rows(job: OpenJob, units: Units, found: Collected) -> Iterator[dict[str, Any]]:
    for chain in units.chains.values():
        for row, finished_at in _last_rows(job, chain):
            found.done += row.is_done
            found.failed += not row.is_done
            yield _ledger_row(row, finished_at)


def _into_ledger(job: OpenJob, units: Units, path: Path, advance: Advance) -> Collected:
    found = Collected(str(path), pending=len(units.pending))
    with Output(str(path.parent), path.parent).hold(), _ledger(job, path.parent, job.place.where(MASKS)) as ledger:
        for chain in units.chains.values():
            rows = [_ledger_row(row, finished_at) for row, finished_at in _last_rows(job, chain)]
            ledger.put(rows)
            found.done += sum(row["status"] == "done" for row in rows)
            found.failed += sum(row["status"] == "failed" for row in rows)
            advance(job.job.images, len(rows))
        _end(ledger, found)
    return found


def _into_output(job: OpenJob, units: Units, output: Output, advance: Advance) -> Collected:
    found = Collected(output.name, pending=len(units.pending))
    store = output.store()
    with output.hold():
        if not has_content(ledger_path(output.state)):
            store.require_fresh()
        with _ledger(job, output.state, output.masks) as ledger:
            try:
                if output.folder is not None:
                    mark(output.folder, ledger.owner)
                store.prepare(ledger.unfinished())
                for chain in units.chains.values():
                    advance(job.job.images, _copy(job, chain, store, ledger, found))
                store.close()
            except OSError as error:
                raise cannot_write(output.name, error) from error
            _end(ledger, found)
    return found


def _copy(job: OpenJob, chain: Sequence[UnitName], store: Store, ledger: FilledLedger, found: Collected) -> int:
    """Copy the masks of one number's units; return how many images they have. Names are put down before the first mask
    can exist, as in a run.
    """
    rows = _last_rows(job, chain)
    made = ledger.made([row.mask for row, _ in rows if row.is_done])
    present = store.present([row.mask for row, _ in rows if row.is_done])
    to_do = [row for row, _ in rows if row.is_done and not (row.mask in present and _is_there(row, made, store))]
    waiting = {row.mask for row in to_do}
    named = [_ledger_row(row, at) | {"status": "pending"} for row, at in rows if row.mask in waiting]
    ledger.put(named)
    ledger.commit()
    masks, errors = StoredMasks(job.place), dict[str, str]()
    for row in to_do:
        data, wrong = masks.read(row)
        if wrong:
            errors[row.mask] = DAMAGED
            found.damaged += 1
            continue
        try:
            store.write(row.mask, data, is_fresh=row.mask not in made, made=made.get(row.mask) or "")
        except OSError as error:
            errors[row.mask] = why_not_written(row.mask, store.where(row.mask), error)
    finished = [_ledger_row(row, at, errors.get(row.mask)) for row, at in rows]
    ledger.put(finished)
    found.done += sum(row["status"] == "done" for row in finished)
    found.failed += sum(row["status"] == "failed" for row in finished)
    return len(finished)


def _is_there(row: Row, made: Mapping[str, str], store: Store) -> bool:
    """Return whether a mask that is present is the one to copy, by the ledger or, if a call was killed, by the file."""
    digest = (row.sha256 or b"").hex()
    if row.mask in made:
        return made[row.mask] == digest
    try:
        return hashlib.sha256(store.read(row.mask)).hexdigest() == digest
    except OSError:
        return False


def _last_rows(job: OpenJob, chain: Sequence[UnitName]) -> list[tuple[Row, str]]:
    """Return the last row of each image of one number's units, in order, with the time when it was finished."""
    rows: dict[str, tuple[Row, str]] = {}
    for unit in chain:
        if (found := read_rows(job.place, unit)) is not None:
            rows.update((row.mask, (row, found[0].finished_at)) for row in found[1])
    return list(rows.values())


def _ledger(job: OpenJob, folder: Path, masks: str | None) -> FilledLedger:
    model, options = job.job.model, job.job.options
    settings = job.job.settings(job.place, Path(model.name)).to_json()
    settings |= {CLASS_NAMES: list(model.class_names), CONFIDENCE_BY: model.confidence_by}
    record = RunRecord(
        job.job.key, model.name, model.sha256, ON_CLUSTER, ON_CLUSTER, model.precision, settings, job.job.tools
    )
    return FilledLedger(folder, NameTemplate(options.name), record, masks, job.job.origins)


def _end(ledger: FilledLedger, found: Collected) -> None:
    report = RunReport(done=found.done, failed=found.failed, device=ON_CLUSTER, interrupted=bool(found.pending))
    ledger.end_run(report.to_json())


def _ledger_row(row: Row, finished_at: str, error: str | None = None) -> dict[str, Any]:
    """Return a row as the ledger has it. ``error``: why the mask could not be collected."""
    values = row._asdict() | {"finished_at": finished_at, "sha256": row.sha256.hex() if row.sha256 else None}
    area = row.lesion_area
    values["lesion_fraction"] = None if area is None else area / ((row.height or 1) * (row.width or 1))
    return values if error is None else values | {"status": "failed", "error": error, "sha256": None}
