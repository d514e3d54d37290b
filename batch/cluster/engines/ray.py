"""Do units on a Ray cluster: an actor for each core or GPU, each of which does one unit after the other.

Plain actors and not Ray Data: it aborts all of its work on a unit on which processes end more often than its tasks are
retried, and without a limit it tries that unit for ever. Here such a unit has a result with its error. Actors are not
restarted by Ray either, but replaced, so that one that cannot open the model is not started without end.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batch.cluster.engines.base import MOST_DEATHS, STOP_SECONDS, Waiting
from batch.cluster.engines.ray_connection import LOCAL, MOST_SHOWN, connect, import_ray, room_in
from batch.cluster.engines.worker import UnitWorker, WorkerOptions
from batch.cluster.files.names import UnitName
from batch.cluster.files.place import place_of
from batch.cluster.unit import UnitResult
from batch.errors import ProcessError, printable
from batch.executors.placement import is_gpu
from batch.steps.work import reason_of
from seglab.errors import ConfigError, SeglabError

OPENING_SECONDS = 5.0
"""How long a stop waits for workers that are still opening their model, or waiting for room."""
CONTROL = "control"
"""The thread of an actor that takes orders while another one does a unit."""

WHY_DEAD = re.compile(r"actor is dead because (.+?)\.(?:\s|$)")


class RayEngine:
    """Actors on a Ray cluster for the job at a path or URL.

    ``address``: of the cluster, ``auto`` or ``HOST:PORT``; None: as the variable RAY_ADDRESS says, else a Ray of this
    machine. ``workers``: None: as many as the nodes have room for. ``gpus_per_worker``: 0: workers use no GPU, and one
    core each. ``verbose``: let Ray print its own messages.

    ``device``: what the first worker works on, once it is ready. ``notes``: about workers that could not be started.
    """

    def __init__(
        self,
        job: str,
        options: WorkerOptions,
        address: str | None,
        workers: int | None,
        gpus_per_worker: float,
        *,
        verbose: bool = False,
    ) -> None:
        _require_given_gpus(options.device, gpus_per_worker)
        self.device, self.notes = "", list[str]()
        self._job, self._options, self._gpus = place_of(job).name, options, gpus_per_worker
        self._address = address or os.environ.get("RAY_ADDRESS") or LOCAL
        self._workers, self._verbose = workers, verbose
        self._waiting = Waiting(())
        self._replies: dict[Any, _Worker] = {}
        self._idle: list[_Worker] = []
        self._failure: SeglabError | None = None

    def run(self, units: Sequence[UnitName]) -> Generator[UnitResult]:
        """Yield the results of the units, in any order. Raises :class:`ProcessError`, :class:`ConfigError` and the
        errors of opening, if no worker is left.
        """
        self._waiting = Waiting(random.sample(units, len(units)))  # two runs at once seldom do the same unit
        self._ray = import_ray(verbose=self._verbose)
        try:
            connect(self._ray, self._address, verbose=self._verbose)
            self._actor = self._ray.remote(
                num_cpus=1, num_gpus=self._gpus, scheduling_strategy="SPREAD", concurrency_groups={CONTROL: 1}
            )(RayWorker)
            for _ in range(min(self._size(), len(units))):
                self._open(_Worker())
            while self._waiting or any(worker.unit for worker in self._replies.values()):
                if not self._replies:
                    raise self._failure or ProcessError("No Ray worker is left. Run again to continue.")
                (reply, *_), _ = self._ray.wait(list(self._replies), num_returns=1)
                yield from self._hear(reply)
        finally:
            self._close()

    def _size(self) -> int:
        """Return the number of workers. Raises :class:`ConfigError` if there is room for none."""
        room = room_in(self._ray.nodes(), self._gpus)
        if not room and (self._workers is None or self._address == LOCAL):
            needs = f"1 CPU and {self._gpus:g} GPU" if self._gpus else "1 CPU"
            raise ConfigError(
                f"No node of the Ray cluster has {needs}; expected room for a worker. Correct --gpus-per-worker, or "
                "name --workers if the cluster starts nodes when they are asked for."
            )
        return self._workers or room

    def _open(self, worker: _Worker) -> None:
        """Start an actor; it waits until a node has room for it, and holds no unit meanwhile."""
        worker.actor = self._actor.remote(self._job, self._options, self._gpus)
        worker.is_ready = False
        self._replies[worker.actor.open.remote()] = worker

    def _give(self, worker: _Worker) -> None:
        if self._waiting:
            worker.unit = self._waiting.take()
            self._replies[worker.actor.do.remote(worker.unit)] = worker
        else:
            self._idle.append(worker)

    def _hear(self, reply: Any) -> Iterator[UnitResult]:
        worker = self._replies.pop(reply)
        try:
            found = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            yield from self._replace(worker, error)
            return
        if isinstance(found, SeglabError):
            self._give_up(worker, found)
            return
        if isinstance(found, UnitResult):
            worker.unit = None
            yield found
        else:
            worker.is_ready, worker.deaths = True, 0
            self.device = self.device or found
        self._give(worker)

    def _replace(self, worker: _Worker, error: Exception) -> Iterator[UnitResult]:
        """Let a unit be done again whose actor is lost, and start another one."""
        self._kill(worker)  # it may live, on a node that cannot be reached now
        how, unit = _how(error), worker.unit
        worker.unit = None
        if unit is not None:
            yield from self._waiting.put_back(unit, how)
        elif not worker.is_ready:
            worker.deaths += 1
            if worker.deaths >= MOST_DEATHS:
                text = (
                    f"A Ray worker ended {MOST_DEATHS} times before it had opened the model ({how}). It may have too "
                    "little memory, or its node lacks this package. Correct that, then run again."
                )
                self._give_up(worker, ProcessError(text))
                return
        while self._waiting and self._idle:
            self._give(self._idle.pop())
        if self._waiting:
            self._open(worker)

    def _give_up(self, worker: _Worker, error: SeglabError) -> None:
        """Go on without a worker that cannot be opened; its node may be the only one with this fault."""
        self._kill(worker)
        self._failure = error
        if str(error) not in self.notes:
            self.notes.append(str(error))

    def _kill(self, worker: _Worker) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(worker.actor)

    def _close(self) -> None:
        """End the actors, in good order if they do so soon; units that they were doing stay to be done."""
        workers = [*self._replies.values(), *self._idle]
        with contextlib.suppress(self._ray.exceptions.RayError):
            for worker in workers:
                if worker.is_ready:
                    worker.actor.stop.options(concurrency_group=CONTROL).remote()
            for is_ready, seconds in ((True, STOP_SECONDS), (False, OPENING_SECONDS)):  # these wait for room, maybe
                closed = [worker.actor.close.remote() for worker in workers if worker.is_ready is is_ready]
                if closed:
                    self._ray.wait(closed, num_returns=len(closed), timeout=seconds)
        self._replies.clear()
        self._idle.clear()
        self._ray.shutdown()  # which kills what has not ended


@dataclass(eq=False)
class _Worker:
    """One of the actors and those that replace it. ``unit``: that it does. ``deaths``: in a row before it was ready."""

    actor: Any = None
    unit: str | None = None
    is_ready: bool = False
    deaths: int = 0


class RayWorker:
    """The actor. Only names and numbers come to it; what it needs beside them is on its node or in the job."""

    def __init__(self, job: str, options: WorkerOptions, gpus: float) -> None:
        self._job, self._options, self._gpus = job, options, gpus
        self._opened: UnitWorker | None = None

    def open(self) -> str | SeglabError:
        """Open the job's model; return what it works on, or the error."""
        if not self._gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray may leave it as it is, and others be given this GPU
        try:
            self._opened = UnitWorker(self._job, replace(self._options, threads=_threads(self._gpus)))
            return self._opened.device
        except SeglabError as error:
            return error
        except Exception as error:
            return ProcessError(f"A Ray worker cannot open the job: {printable(reason_of(error))}.")

    def do(self, unit: str) -> UnitResult:
        """Do a unit."""
        return self._worker().do(unit)

    def stop(self) -> None:
        """Let the unit end that is being done."""
        self._worker().stop()

    def close(self) -> None:
        """Remove temporary files."""
        if self._opened is not None:
            self._opened.close()

    def _worker(self) -> UnitWorker:
        if self._opened is None:
            raise RuntimeError("open() comes first")
        return self._opened


def _threads(gpus: float) -> int:
    """Return how many CPU threads this actor may use: with a GPU, the share of its node's cores that goes with it."""
    import ray

    if not gpus:
        return 1
    own = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    has: dict[str, float] = next((node["Resources"] for node in nodes if node["NodeID"] == own), {})
    return max(1, int(has.get("CPU", 1) * min(1.0, gpus / has.get("GPU", gpus))))


def _how(error: Exception) -> str:
    """Return how an actor ended: the point of a message of Ray, or of the traceback in it."""
    if found := WHY_DEAD.search(str(error)):
        return printable(found[1])
    *_, last = ["unknown", *filter(str.strip, str(error).splitlines())]
    return printable(last.strip())[:MOST_SHOWN]


def _require_given_gpus(device: str, gpus: float) -> None:
    """Raise :class:`ConfigError` if a device is named that Ray does not give to workers."""
    if ":" in device:
        raise ConfigError(
            f"--device {device} names GPUs by number; expected cuda, as Ray gives each worker its own GPU. Leave out "
            "the number."
        )
    if device != "auto" and is_gpu(device) and not gpus:
        raise ConfigError(f"--device {device} needs GPUs, and workers have none. Add --gpus-per-worker 1.")
