"""Plan a job: find the images, give each its mask's name as a run would, and write the manifest in parts."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

from batch.cluster.files.job import IN_TARS, Job, JobModel, MaskOptions, encode_job, read_job
from batch.cluster.files.manifest import Entry, encode_part, entry_of, require_pyarrow
from batch.cluster.files.names import JOB_FILE, KEY_PREFIX, MANIFEST, MODEL_FILE, PARQUET, UnitName
from batch.cluster.files.place import Place, local_folder, place_of
from batch.cluster.reserving import Reservation, require_new
from batch.errors import OutputError, SourceError, printable
from batch.executors.base import Opened
from batch.ledger.records import Claim, RunRecord, now
from batch.ledger.writer import Ledger
from batch.naming import NameTemplate
from batch.outputs.remote import require_outside
from batch.running.label_maps import fit_to_classes
from batch.running.setup import device_of_masks, record_of
from batch.running.source_lines import left_out
from batch.settings import RunSettings
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef, Origin, SourceReport
from batch.tools import tool_versions
from seglab.errors import ConfigError
from seglab.images.formats import IMAGE_SUFFIXES

CHUNK = 1024
"""Images that are named in one transaction."""
LEAST_UNIT, MOST_UNIT = 1, 100_000
PARTS_AT_ONCE = 8
STREAMED = (
    "{} comes from a compressed tar or a stream, of which other machines cannot read a part; expected files, zips, "
    "uncompressed tars or a bucket. Unpack it, and name the folder."
)


@dataclass(frozen=True)
class PlanSettings:
    """What is planned: the settings of a run (``out``: the job's place), and how it is divided.

    ``unit``: most images of a unit. ``masks``: ``tar`` or ``objects``.
    """

    run: RunSettings
    unit: int
    masks: str = IN_TARS

    def __post_init__(self) -> None:
        if not LEAST_UNIT <= self.unit <= MOST_UNIT:
            raise ConfigError(f"unit is {self.unit}; expected {LEAST_UNIT} to {MOST_UNIT:,} images. Correct --unit.")


@dataclass(frozen=True)
class Plan:
    """A job that was planned. ``repeated``: files that were named twice."""

    job: Job
    place: Place
    repeated: int

    @property
    def is_complete(self) -> bool:
        """Return whether every photograph of the sources is in the manifest, as far as is known."""
        return not self.job.left_out


class Images(Protocol):
    """Images to plan: those of sources, or of an inventory. ``report``: what got no row."""

    report: SourceReport

    @property
    def origins(self) -> list[Origin]:
        """Return the sources as the ledger knows them."""

    def __iter__(self) -> Iterator[ImageRef]:
        """Yield the images."""


def plan_job(
    settings: PlanSettings, found: Images | None = None, advance: Callable[[int], None] = lambda _images: None
) -> Plan:
    """Plan a job and return it. ``found``: the images, if they are not those that the settings name. ``advance``: is
    called with the number of images found so far.

    Raises :class:`ConfigError`, :class:`SourceError`, :class:`OutputError`, and the errors of opening the model, which
    is opened as a run would do it on this machine: so is the precision of the job chosen, if none was asked for.
    """
    require_pyarrow()
    top = place_of(str(settings.run.out))
    sources = _sources(settings.run, top) if found is None else _outside(found, top)
    opened = _opened(settings.run)
    run = fit_to_classes(settings.run, settings.run, opened)
    precision = device_of_masks(run, opened).precision
    key = run.key(opened.sha256, precision)
    place = top.below(f"{KEY_PREFIX}{key}")
    require_new(place)
    record = record_of(run, opened, {})
    model = JobModel(opened.path.name, opened.sha256, precision, record.class_names, record.confidence_by)
    options = MaskOptions(run.bits, run.exact, run.any_dicom, run.postprocess, run.max_pixels, run.name)
    reservation = Reservation(place)
    try:
        writer = _Writer(place, key, settings.unit, reservation)
        repeated, labels = _write_manifest(sources, writer, record, run.name, advance)
        origins = tuple(replace(origin, label=labels.get(origin.root, "")) for origin in sources.origins)
        job = Job(
            key=key,
            plan=writer.plan,
            created_at=now(),
            units=writer.units,
            images=writer.images,
            unit=settings.unit,
            masks=settings.masks,
            model=model,
            options=options,
            origins=origins,
            left_out=tuple(left_out(sources.report)),
            tools=tool_versions(),
        )
        _complete(place, job, opened.path)
    except BaseException:
        with contextlib.suppress(OutputError):  # the place may be what failed
            reservation.give_up()
        raise
    reservation.release()
    return Plan(job, place, repeated)


def _sources(settings: RunSettings, top: Place) -> Sources:
    require_outside(settings.source_names, top.name)
    folder = local_folder(top)
    excluded = [folder] if folder is not None else []
    return Sources(settings.source_names, IMAGE_SUFFIXES, excluded, settings.list_names, settings.zip_encoding)


def _outside(images: Images, top: Place) -> Images:
    require_outside([origin.root for origin in images.origins], top.name)
    return images


def _opened(settings: RunSettings) -> Opened:
    """Return the model as a worker of a run on this machine would open it."""
    from batch.executors.opening import open_for
    from batch.executors.placement import share_out

    return Opened.of(open_for(settings, threads=share_out(settings, few=False)[0].threads))


def _write_manifest(
    sources: Images, writer: _Writer, record: RunRecord, name: str, advance: Callable[[int], None]
) -> tuple[int, dict[str, str]]:
    """Write the manifest; return how many files were named twice, and the folder of masks of each source by its root.

    Names are claimed in a ledger of its own, as a run claims them.
    """
    with tempfile.TemporaryDirectory(prefix="seg-batch-plan-") as scratch:
        names = Ledger(Path(scratch), NameTemplate(name), record, lambda _: set(), None, sources.origins)
        with names as ledger:
            repeated = _write_parts(sources, ledger, writer, advance)
            if not writer.images:
                raise _nothing(sources)
            return repeated, ledger.labels()


def _write_parts(sources: Images, ledger: Ledger, writer: _Writer, advance: Callable[[int], None]) -> int:
    """Name the masks and write the manifest; return how many files were named twice."""
    images, repeated = iter(sources), 0
    with writer:
        while chunk := list(itertools.islice(images, CHUNK)):
            for claimed in ledger.claim(chunk):
                if claimed.claim is Claim.TODO:
                    writer.add(_entry(claimed.item, claimed.mask))
                else:
                    repeated += 1
            advance(writer.images)
    return repeated


def _entry(image: ImageRef, mask: str) -> Entry:
    entry = entry_of(image, mask)
    if entry is None:
        raise SourceError(STREAMED.format(printable(image.origin.named)))
    return entry


def _nothing(sources: Images) -> SourceError:
    said = "; ".join(left_out(sources.report)) or "the sources are empty"
    return SourceError(f"No image was found ({said}); expected photographs. Name a source that holds some.")


def _complete(place: Place, job: Job, model: Path) -> None:
    """Write the model and, last, the description. Raises :class:`OutputError` if somebody else planned it meanwhile."""
    place.upload(MODEL_FILE, model)
    if not place.create(JOB_FILE, encode_job(job)) and read_job(place).plan != job.plan:  # equal: an answer was lost
        raise OutputError(
            f"{printable(place.where())} was planned by somebody else meanwhile, and this plan may have replaced a "
            "part of the manifest; expected one plan at a time. Plan the job at another place."
        )


class _Writer:
    """Entries, written as parts of the manifest at a place that is reserved when the first is written. ``plan``: random
    text in every part, so that parts of two plans are told apart. Use it as a context.
    """

    def __init__(self, place: Place, key: str, unit: int, reservation: Reservation) -> None:
        self.plan, self.units, self.images = reservation.plan, 0, 0
        self._place, self._key, self._unit, self._reservation = place, key, unit, reservation
        self._entries: list[Entry] = []
        self._pool = ThreadPoolExecutor(PARTS_AT_ONCE)
        self._writing: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if self._entries:
                    self._write()
                while self._writing:
                    self._writing.popleft().result()
                self._remove_former()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def add(self, entry: Entry) -> None:
        """Add an image; a full part is written."""
        self._entries.append(entry)
        self.images += 1
        if len(self._entries) == self._unit:
            self._write()

    def _write(self) -> None:
        if not self.units:
            self._reservation.hold()
        unit, self._entries, entries = UnitName(self.units), [], self._entries
        self.units += 1
        data = encode_part(unit, entries, self._key, self.plan)
        self._writing.append(self._pool.submit(self._place.write, unit.manifest, data))
        if len(self._writing) > PARTS_AT_ONCE:
            self._writing.popleft().result()

    def _remove_former(self) -> None:
        """Remove parts that a plan which was stopped has written beyond the last one."""
        for name in self._place.names(MANIFEST):
            unit = UnitName.of(name.removesuffix(PARQUET))
            if unit is not None and unit.number >= self.units:
                self._place.remove(unit.manifest)
