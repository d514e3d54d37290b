"""Reading what ``torch.save`` wrote, without running anything: tensors and plain values; other objects stay empty.

torch's own reader (``weights_only=True``) does the work. It refuses every name that it does not know; harmless ones of
numpy and the standard library are made known to it, and what else a file names (settings of a training loop, mostly) is
replaced by an empty object (:func:`class_of`), so that the weights beside it can be had.
"""

from __future__ import annotations

import collections
import importlib
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seglab.errors import CheckpointError

UNSUPPORTED = re.compile(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)")
FILLED = re.compile(r"Can only \w+ for .* but got <class '(?:.*\.)?(\w+)'>", re.DOTALL)
BLOCKED = re.compile(r"Trying to load unsupported GLOBAL ([\w.]+)")
MOST_NAMES = 500
"""Names of a file that are replaced before it is given up."""
RUNS_CODE = frozenset({"os", "posix", "nt", "subprocess", "sys", "runpy", "shutil", "socket", "importlib", "pty"})
RUNNING_BUILTINS = frozenset({"eval", "exec", "compile", "execfile", "__import__", "open", "input", "breakpoint"})
"""What no file of weights needs: a file that names it is meant to do something when it is opened."""
CLASS = "class of the file"
SAVE_STATE = "Where the network's code is, save its tensors alone: torch.save(model.state_dict(), 'weights.pth')."

CODE = """
    import torch  # where the network's code is, and only for a file of somebody you trust
    {name} = torch.load({file!r}, map_location="cpu", weights_only=False)
    torch.save({state}.state_dict(), "weights.pth")"""
OLD_NETWORK = "Only persistent_load of storage is allowed"
"""In torch's words: a file of the old form holds a network with its source."""


class _Unknown:
    """Stands for a class, or a function, that is not opened: calling it gives an object that knows its name, and
    nothing else.
    """

    name = ""

    def __new__(cls, *_arguments: Any, **_options: Any) -> Any:
        """Take whatever would have been taken."""
        made = super().__new__(cls)
        vars(made)[CLASS] = cls.name
        return made

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        """Keep nothing of it."""

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes, where they are named."""
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                vars(self).update({str(key): value for key, value in part.items()})


class _UnknownDictionary(_Unknown):
    """The same for a class that is filled as a dictionary: torch's reader fills none but its own."""

    def __new__(cls, *_arguments: Any, **_options: Any) -> Any:
        """Return an ordered dictionary, which has attributes, too."""
        made: collections.OrderedDict[str, Any] = collections.OrderedDict()
        vars(made)[CLASS] = cls.name
        return made


def class_of(value: Any) -> str | None:
    """Return the class, as the file names it, of an object that was not opened; None for plain values."""
    return vars(value).get(CLASS) if isinstance(value, _Unknown | collections.OrderedDict) else None


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that was not opened."""
    return {str(key): entry for key, entry in vars(value).items() if key != CLASS} if class_of(value) else {}


def read_pickle(path: Path) -> Any:
    """Return what ``torch.save`` wrote to ``path``, on the CPU.

    Raises :class:`CheckpointError` for a file that is torn, or that would call something when it is opened.
    """
    replaced: dict[str, type[_Unknown]] = {}
    while len(replaced) <= MOST_NAMES:
        known = [*_harmless(), *((stub, name) for name, stub in replaced.items())]
        try:
            with torch.serialization.safe_globals(known), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old storages; nothing a user could do about
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            text = str(error)
            if OLD_NETWORK in text:
                raise whole_network(path) from error
            filled = FILLED.search(text)
            if filled and any(stub.__name__ == filled[1] for stub in replaced.values()):
                dictionary = next(name for name, stub in replaced.items() if stub.__name__ == filled[1])
                replaced[dictionary] = _stub(dictionary, _UnknownDictionary)
                continue
            name = _unsupported(path, text)
            if name is None or name in replaced:
                raise _unreadable(path, error) from error
            for each in {name, *_further(path)} - replaced.keys():
                replaced[each] = _stub(each, _Unknown)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _unreadable(path, error) from error
    raise CheckpointError(f"{path} names more than {MOST_NAMES} classes; expected a file of weights. {SAVE_STATE}")


def _stub(name: str, kind: type[_Unknown]) -> type[_Unknown]:
    """Return a class of its own for a name, under which torch's reader speaks of it."""
    return type(re.sub(r"\W", "_", name), (kind,), {"name": name})


def whole_network(path: Path, what: str = "", name: str = "") -> CheckpointError:
    """Return the error for a pickled network, ``what`` it is, under a ``name`` of the file's dictionary."""
    held = "checkpoint" if name else "model"
    lines = CODE.format(file=path.name, name=held, state=f'{held}["{name}"]' if name else held)
    where = f", under {name!r}" if name else ""
    return CheckpointError(
        f"{path} is a whole pickled network{what}{where}; opening it would run code from the file, so it is not "
        "opened. "
        f"Expected its weights alone, which these three lines save; then export weights.pth:{lines}"
    )


def _unsupported(path: Path, message: str) -> str | None:
    """Return the name at which torch's reader stopped. Raises :class:`CheckpointError` for one that runs code."""
    blocked = BLOCKED.search(message)
    found = UNSUPPORTED.search(message)
    name = (blocked or found or [None, None])[1]
    if name is None:
        return None
    if blocked or _runs_code(name):
        raise CheckpointError(
            f"{path} calls {name} when it is opened, which no file of weights needs; nothing of it was run. "
            f"Do not open it unless you know who made it. {SAVE_STATE}"
        )
    return str(name)


def _further(path: Path) -> set[str]:
    """Return all names in a file that torch's reader does not know, where it is of the zip form."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # of the old form, or damaged: read once more, it says its names one by one
        return set()
    running = {name for name in names if _runs_code(name)}
    return set(names) - running - {_name(each) for each in _harmless()}


def _runs_code(name: str) -> bool:
    module, _, function = name.rpartition(".")
    if module in ("", "builtins", "__builtin__"):
        return function in RUNNING_BUILTINS
    return module.partition(".")[0] in RUNS_CODE


def _name(known: Any) -> str:
    return known[1] if isinstance(known, tuple) else f"{known.__module__}.{known.__qualname__}"


def _harmless() -> list[Any]:
    """Return what is made known to torch's reader: how numpy's arrays and scalars and plain containers are made."""
    multiarray = importlib.import_module("numpy._core.multiarray")
    makers = [(multiarray.scalar, "scalar"), (multiarray._reconstruct, "_reconstruct")]
    named = [(make, f"numpy.{home}.multiarray.{name}") for make, name in makers for home in ("core", "_core")]
    types = [type(np.dtype(code)) for code in "?bBhHiIlLqQefdFDSUMm"]
    return [
        *named,
        np.ndarray,
        np.dtype,
        *types,
        (_plain_dictionary, "collections.defaultdict"),
        set,
        list,
        dict,
        tuple,
    ]


def _plain_dictionary(*_arguments: Any) -> dict[Any, Any]:
    return {}


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())
    said = (
        f": {reason[:120].rstrip('.')}" if reason and not isinstance(error, KeyError | pickle.UnpicklingError) else ""
    )
    return CheckpointError(
        f"{path} cannot be read as weights ({type(error).__name__}{said}); expected a whole file that torch.save "
        "wrote. "
        "It is damaged or cut off: copy it again."
    )
