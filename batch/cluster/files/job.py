"""The description of a job, ``job.json``: its settings, its model, its counts. Written last by the plan, and kept."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.cluster.files.names import JOB_FILE, KEY_PREFIX, MODEL_FILE
from batch.cluster.files.place import Place, local_folder, place_of
from batch.errors import OutputError, printable
from batch.naming import DEFAULT_NAME
from batch.settings import RunSettings
from batch.sources.image_ref import Origin
from seglab.images.formats import MAX_PIXELS
from seglab.words import counted

FORMAT_VERSION = 1
IN_TARS, AS_OBJECTS = "tar", "objects"
COMPUTE = ("fp32", "bf16", "int8")
"""Precisions that can be asked for by name."""


@dataclass(frozen=True)
class JobModel:
    """The model of a job: its file is a copy beside ``job.json``. ``precision``: what its masks are computed in."""

    name: str
    sha256: str
    precision: str
    class_names: tuple[str, ...]
    confidence_by: str


@dataclass(frozen=True)
class MaskOptions:
    """What decides masks beside the model; as in :class:`batch.settings.RunSettings`."""

    mask_bits: int
    exact: bool = False
    any_dicom: bool = False
    postprocess: tuple[str, ...] = ()
    max_pixels: int = MAX_PIXELS
    name: str = DEFAULT_NAME


@dataclass(frozen=True)
class Job:
    """A planned job.

    ``key``: hash of model, precision and options, see :meth:`batch.settings.RunSettings.key`. ``plan``: random text in
    every part of the manifest. ``units``, ``images``: their number. ``unit``: most images of a unit. ``masks``:
    ``tar``, one for each unit, or ``objects``, a file each. ``origins``: the sources; their labels are the folders of
    their masks. ``left_out``: lines about what may hold photographs and is not in the manifest.
    """

    key: str
    plan: str
    created_at: str
    units: int
    images: int
    unit: int
    masks: str
    model: JobModel
    options: MaskOptions
    origins: tuple[Origin, ...]
    left_out: tuple[str, ...] = ()
    tools: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``job.json``."""
        return {"format_version": FORMAT_VERSION} | dataclasses.asdict(self)

    def settings(self, place: Place, model: Path, device: str = "auto", **options: Any) -> RunSettings:
        """Return the settings with which a worker makes masks. ``model``: local copy of the file."""
        named = tuple(origin.root or origin.named for origin in self.origins) or ("-",)
        chosen = dataclasses.asdict(self.options)
        compute = self.model.precision if self.model.precision in COMPUTE else None
        return RunSettings(named, place.name, model, device, compute, **chosen, **options)


def encode_job(job: Job) -> bytes:
    """Return the file's content."""
    return (json.dumps(job.to_json(), indent=2) + "\n").encode()


def read_job(place: Place) -> Job:
    """Read the description at a job's own place. Raises :class:`OutputError` if there is none, or it is not ours."""
    where = printable(place.where(JOB_FILE))
    try:
        found = json.loads(place.read(JOB_FILE))
        version = int(found.pop("format_version"))
        if version > FORMAT_VERSION:
            raise OutputError(
                f"{where} has format {version}; this release knows up to {FORMAT_VERSION}. Install the release that "
                "planned the job on all machines."
            )
        job = _job_of(found)
    except FileNotFoundError as error:
        raise OutputError(
            f"{printable(place.where())} is not a planned job (no {JOB_FILE}); expected one. `seg-batch cluster plan` "
            "makes it; if that was stopped, run it again."
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(
            f"{where} is damaged ({type(error).__name__}: {error}); expected what `seg-batch cluster plan` wrote. "
            "Restore it, or plan the job at another place."
        ) from error
    if job.settings(place, Path(MODEL_FILE)).key(job.model.sha256, job.model.precision) != job.key:
        raise OutputError(
            f"{where} was changed, or another release planned it: its settings are not those of its key {job.key}; "
            "expected the file as it was planned. Restore it, or plan the job at another place."
        )
    return job


def _job_of(found: dict[str, Any]) -> Job:
    model = JobModel(**found["model"] | {"class_names": tuple(found["model"]["class_names"])})
    options = MaskOptions(**found["options"] | {"postprocess": tuple(found["options"]["postprocess"])})
    origins = tuple(Origin(**origin) for origin in found["origins"])
    job = Job(**found | {"model": model, "options": options, "origins": origins, "left_out": tuple(found["left_out"])})
    numbers = (job.units, job.images, job.unit)
    if not all(type(number) is int and number > 0 for number in numbers) or job.masks not in (IN_TARS, AS_OBJECTS):
        raise ValueError("a number of images or units, or the kind of masks")
    return job


@dataclass(frozen=True)
class OpenJob:
    """A job and its place."""

    job: Job
    place: Place


def open_job(name: str) -> OpenJob:
    """Open the job at a path or URL, which may name the job or, if it holds several, one of its ``key=`` folders.

    Raises :class:`OutputError` if there is not exactly one.
    """
    place = place_of(name)
    if name.rstrip("/").rpartition("/")[2].startswith(KEY_PREFIX):
        return OpenJob(read_job(place), place)
    keys = [name for name in place.names() if name.startswith(KEY_PREFIX) and JOB_FILE in place.names(name)]
    if not keys:
        raise OutputError(
            f"{printable(place.where())} holds no job; expected a place that `seg-batch cluster plan` wrote to. Check "
            "it, or plan the job first; a plan that was stopped has to be made again."
        )
    if len(keys) > 1:
        shown = ", ".join(place.where(key) for key in keys)
        raise OutputError(
            f"{printable(place.where())} holds {counted(len(keys), 'job')}, one for each model and settings; expected "
            f"the name of one. Name one of {printable(shown)}."
        )
    below = place.below(keys[0])
    return OpenJob(read_job(below), below)


def model_file(opened: OpenJob, cache: Path) -> Path:
    """Return the job's model as a local file: the copy on a shared disk itself, else fetched into ``cache``.

    Raises :class:`OutputError` if it is not the file that was planned.
    """
    from seglab.files import sha256

    folder = local_folder(opened.place)
    path = cache / f"{opened.job.model.sha256[:16]}.onnx" if folder is None else folder / MODEL_FILE
    try:
        if folder is None and not path.exists():
            opened.place.download(MODEL_FILE, path)
        known = sha256(path)
    except FileNotFoundError:
        known = ""
    if known != opened.job.model.sha256:
        raise OutputError(
            f"{printable(opened.place.where(MODEL_FILE))} is missing or not the model that the job was planned with "
            f"({printable(opened.job.model.name)}); expected that file. Put it back."
        )
    return path
