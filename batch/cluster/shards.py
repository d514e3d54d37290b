"""Which units a process of an array job does: a fixed share, every n-th unit."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batch.cluster.files.names import UnitName
from seglab.errors import ConfigError

SHARD = re.compile(r"([1-9]\d*)/([1-9]\d*)")
ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", ("SLURM_ARRAY_TASK_COUNT",), "SLURM_ARRAY_TASK_MIN"),
    ("JOB_COMPLETION_INDEX", ("SHARDS", "JOB_COMPLETIONS"), None),
    ("AWS_BATCH_JOB_ARRAY_INDEX", ("AWS_BATCH_JOB_ARRAY_SIZE", "SHARDS"), None),
)
"""Of Slurm, Kubernetes and AWS Batch: the variable of a task's number, those of their count, and that of the first
number, which is 0 if there is none. Kubernetes has no variable for the count: its job has to set ``SHARDS``."""


@dataclass(frozen=True)
class Shard:
    """Share ``number`` (from 1) of ``of`` shares."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that ``3/16`` names. Raises :class:`ConfigError`."""
        found = SHARD.fullmatch(text.strip())
        if found is None or int(found[1]) > int(found[2]):
            raise ConfigError(
                f"{text!r} is not a shard; expected one like 3/16, the third of sixteen. Correct --shard."
            )
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of_array(cls, variables: Mapping[str, str] = os.environ) -> Shard | None:
        """Return the shard that an array job gives this process; None outside of one. Raises :class:`ConfigError`."""
        for number, counts, first in ARRAYS:
            if number in variables:
                count = next((name for name in counts if variables.get(name)), None)
                if count is None:
                    raise ConfigError(
                        f"{number} is set, and the number of shards is not; expected it in {' or '.join(counts)}. Set "
                        "it, or name the shard with --shard."
                    )
                begin = _number(variables, first) if first and first in variables else 0
                return cls._checked(_number(variables, number) - begin + 1, _number(variables, count), number)
        return None

    @classmethod
    def _checked(cls, number: int, of: int, name: str) -> Shard:
        if not 1 <= number <= of:
            raise ConfigError(
                f"{name} says shard {number} of {of}; expected numbers without gaps from the first to the last. "
                "Correct the array of the job, or name the shard with --shard."
            )
        return cls(number, of)

    def pick(self, units: Sequence[UnitName]) -> list[UnitName]:
        """Return this shard's units: by their numbers, so that it is the same whatever is done already."""
        return [unit for unit in units if unit.number % self.of == self.number - 1]

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def _number(variables: Mapping[str, str], name: str) -> int:
    try:
        return int(variables[name])
    except ValueError as error:
        raise ConfigError(f"{name} is {variables[name]!r}; expected a number. Correct it.") from error
