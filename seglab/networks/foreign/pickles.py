"""Reading of files from ``torch.save`` without running code: tensors and plain values; other objects become stubs.

The work is done by torch's own reader (``weights_only=True``), which refuses unknown names. Harmless names of numpy and
the standard library are registered with it. Other names (mostly settings of a training loop) are replaced by stubs
(:func:`class_of`), so that the weights beside them can be read.
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
"""Largest number of names that are replaced by stubs in one file."""
RUNS_CODE = frozenset({"os", "posix", "nt", "subprocess", "sys", "runpy", "shutil", "socket", "importlib", "pty"})
RUNNING_BUILTINS = frozenset({"eval", "exec", "compile", "execfile", "__import__", "open", "input", "breakpoint"})
"""Modules that no weights file needs: a file that names one is meant to run code when it is opened."""
CLASS = "class of the file"
SAVE_STATE = "Where the network's code is, save its tensors alone: torch.save(model.state_dict(), 'weights.pth')."

CODE = """
    import torch  # where the network's code is, and only for a file of somebody you trust
    {name} = torch.load({file!r}, map_location="cpu", weights_only=False)
    torch.save({state}.state_dict(), "weights.pth")"""
OLD_NETWORK = "Only persistent_load of storage is allowed"
"""Torch's message for a file of the old format that holds a whole network with its source."""


class _Unknown:
    """A stub for a class or function that is not loaded: calling it returns an object that only knows its name."""

    name = ""

    def __new__(cls, *_arguments: Any, **_options: Any) -> Any:
        """Accept any arguments."""
        made = super().__new__(cls)
        vars(made)[CLASS] = cls.name
        return made

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        """Ignore the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Keep the named attributes."""
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                vars(self).update({str(key): value for key, value in part.items()})


class _UnknownDictionary(_Unknown):
    """A stub for a class that is filled like a dictionary; torch's reader fills only ordered dictionaries."""

    def __new__(cls, *_arguments: Any, **_options: Any) -> Any:
        """Return an ordered dictionary, which can also have attributes."""
        made: collections.OrderedDict[str, Any] = collections.OrderedDict()
        vars(made)[CLASS] = cls.name
        return made


def class_of(value: Any) -> str | None:
    """Return the class name, as in the file, of a stub; None for plain values."""
    return vars(value).get(CLASS) if isinstance(value, _Unknown | collections.OrderedDict) else None


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of a stub; empty for plain values."""
    return {str(key): entry for key, entry in vars(value).items() if key != CLASS} if class_of(value) else {}


def read_pickle(path: Path) -> Any:
    """Return what ``torch.save`` wrote to ``path``, on the CPU.

    Raises :class:`CheckpointError` for a damaged file, and for one that would run code when it is opened.
    """
    replaced: dict[str, type[_Unknown]] = {}
    while len(replaced) <= MOST_NAMES:
        known = [*_harmless(), *((stub, name) for name, stub in replaced.items())]
        try:
            with torch.serialization.safe_globals(known), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about old storages; users cannot act on it
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
    """Return a stub class for a name; torch's reader uses the name in its messages."""
    return type(re.sub(r"\W", "_", name), (kind,), {"name": name})


def whole_network(path: Path, what: str = "", name: str = "") -> CheckpointError:
    """Return the error for a pickled network. ``what``: its description. ``name``: its key in the file, if any."""
    held = "checkpoint" if name else "model"
    lines = CODE.format(file=path.name, name=held, state=f'{held}["{name}"]' if name else held)
    where = f", under {name!r}" if name else ""
    return CheckpointError(
        f"{path} is a whole pickled network{what}{where}; opening it would run code from the file, so it is not "
        "opened. "
        f"Expected its weights alone, which these three lines save; then export weights.pth:{lines}"
    )


def _unsupported(path: Path, message: str) -> str | None:
    """Return the name at which torch's reader stopped. Raises :class:`CheckpointError` for a name that runs code."""
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
    """Return all names in a zip file that torch's reader does not know; none for other files."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # old format or damaged: further reads report the names one by one
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
    """Return what is registered with torch's reader: constructors of numpy arrays and scalars, plain containers."""
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
