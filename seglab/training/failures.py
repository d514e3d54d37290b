"""Errors of torch for too little memory, as messages that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from seglab.errors import SeglabError

GO_ON = "Then continue with --resume, or start again if no epoch was saved."
SHARED_MEMORY = ("shared memory", "/torch_", "Bus error")
READER = "DataLoader worker"


@contextlib.contextmanager
def said_in_words() -> Iterator[None]:
    """Raise :class:`SeglabError` for torch's errors where memory is short or a reading process was killed."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SeglabError(f"The GPU has too little memory: {_first_line(error)} Lower --set batch. {GO_ON}") from error
    except RuntimeError as error:
        message = str(error)
        if any(word in message for word in SHARED_MEMORY):
            raise SeglabError(
                "The processes that read images have too little shared memory (/dev/shm). Make it larger (docker run "
                f"--shm-size=1g), or read in this process: --set workers=0. {GO_ON}"
            ) from error
        if READER in message:
            raise SeglabError(
                f"A process that reads images was killed ({_first_line(error)}). It may have run out of memory: use "
                f"fewer workers, such as --set workers=0. {GO_ON}"
            ) from error
        raise


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
