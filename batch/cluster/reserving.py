"""One plan at a time: a plan reserves its place by a file, which exists until the plan is complete or given up."""

from __future__ import annotations

import json
import os
import socket

from batch.cluster.files.job import read_job
from batch.cluster.files.names import JOB_FILE, MANIFEST, MODEL_FILE, PARQUET, UnitName
from batch.cluster.files.place import Place, local_folder
from batch.errors import OutputError, printable
from batch.ledger.records import now
from batch.output_mark import MARK_NAME, mark
from seglab.files import is_running

RESERVATION = "plan.json"


class Reservation:
    """A place that this plan has reserved. ``plan``: random text in its description, reservation and parts."""

    def __init__(self, place: Place) -> None:
        self.plan, self._place, self._is_held = os.urandom(8).hex(), place, False

    def hold(self) -> None:
        """Reserve the place, and mark a folder as one that is never read as images.

        Raises :class:`OutputError` if another plan has done so, or if there are files that no plan made.
        """
        require_new(self._place)
        about = {"plan": self.plan, "host": socket.gethostname(), "process": os.getpid(), "began_at": now()}
        data = json.dumps(about).encode()
        if not self._place.create(RESERVATION, data) and not self._is_ours():
            require_new(self._place)  # it may have been made since; if it is old, its plan has ended
            self._place.remove(RESERVATION)
            if not self._place.create(RESERVATION, data):
                raise _is_being_planned(self._place, "another process")
        if JOB_FILE in self._place.names():  # another plan ended between the look and the reservation
            self._place.remove(RESERVATION)
            require_new(self._place)
        self._is_held = True
        folder = local_folder(self._place)
        if folder is not None:
            try:
                mark(folder, self._place.where().rpartition("=")[2])
            except OSError as error:
                raise OutputError(
                    f"{printable(str(folder))} cannot be written: {error.strerror or error}. Expected a folder that "
                    "this user may write to. Name another one."
                ) from error

    def release(self) -> None:
        """End the reservation: the job is complete."""
        self._place.remove(RESERVATION)

    def give_up(self) -> None:
        """Remove everything that this plan has written, if the place is still its own and the job is not complete."""
        if not self._is_held or not self._is_ours() or JOB_FILE in self._place.names():
            return
        for name in self._place.names(MANIFEST):
            if UnitName.of(name.removesuffix(PARQUET)) is not None:
                self._place.remove(f"{MANIFEST}/{name}")
        for name in (MODEL_FILE, MARK_NAME, RESERVATION):
            self._place.remove(name)
        folder = local_folder(self._place)
        if folder is not None:
            for empty in (folder / MANIFEST, folder):
                if empty.is_dir() and not any(empty.iterdir()):
                    empty.rmdir()

    def _is_ours(self) -> bool:
        try:
            return bool(json.loads(self._place.read(RESERVATION))["plan"] == self.plan)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False


def require_new(place: Place) -> None:
    """Raise :class:`OutputError` unless a job can be planned here: nothing is there, or the rest of a stopped plan."""
    names = set(place.names())
    if JOB_FILE in names:
        read_job(place)  # which raises if it is damaged
        raise OutputError(
            f"{printable(place.where())} is planned already, with the same model and settings; expected a new job. Run "
            "it with `seg-batch cluster run`, or name another place for more images."
        )
    if RESERVATION in names:
        _require_ended(place)
    elif names - {MARK_NAME}:
        shown = printable(min(names - {MARK_NAME}))
        raise OutputError(
            f"{printable(place.where())} holds {shown}, but no {JOB_FILE}; expected an empty place. Restore {JOB_FILE} "
            "if it was lost, or plan the job at another place."
        )


def _require_ended(place: Place) -> None:
    """Raise :class:`OutputError` if the plan that has reserved a place may still be at work."""
    try:
        about = json.loads(place.read(RESERVATION))
        host, process, began = str(about["host"]), int(about["process"]), str(about["began_at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    if host != socket.gethostname() or is_running(process):
        raise _is_being_planned(place, f"process {process} on {host}, since {began}")


def _is_being_planned(place: Place, who: str) -> OutputError:
    return OutputError(
        f"{printable(place.where())} is being planned ({printable(who)}); expected one plan at a time. Wait for it; if "
        f"it was killed, remove {printable(place.where())} as a whole, and plan again."
    )
