"""Removal of the prefixes that wrappers put before tensor names: DataParallel, torch.compile, averages, Lightning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from torch import Tensor

from seglab.words import counted, noun

WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Names that wrappers give to what they hold, removed anywhere in a name; no network has parts with such names."""
HOLDERS = (
    "ema_model", "model_ema", "ema", "module", "model", "net", "network", "segmentation_model", "segmentor", "student",
    "online_model", "generator",
)  # fmt: skip
"""Prefixes under which loops and wrappers hold the network; the first that is present is taken."""
COUNTERS = ("n_averaged", "initted", "step", "num_updates", "decay", "epoch", "global_step")
"""Tensors of wrappers that are not weights."""
MOST_LEVELS = 8


def levels(tensors: Mapping[str, Tensor]) -> Iterator[tuple[dict[str, Tensor], tuple[str, ...]]]:
    """Yield the tensors under shorter and shorter names, with notes on tensors that were left out.

    First come all tensors under their own names. Then a prefix that all names share is removed, or, where a loop keeps
    losses and metrics beside the network, tensors outside the network are left out.
    """
    counters = [key for key in tensors if key in COUNTERS]
    current = {_unwrapped(key): value for key, value in tensors.items() if key not in counters}
    notes: tuple[str, ...] = ()
    for _ in range(MOST_LEVELS):
        yield current, notes
        groups = Counter(key.partition(".")[0] for key in current)
        holder = next(iter(groups)) if len(groups) == 1 else next((name for name in HOLDERS if name in groups), None)
        inside = {
            key.removeprefix(f"{holder}."): value for key, value in current.items() if key.startswith(f"{holder}.")
        }
        if not inside:
            return
        if outside := [name for name in groups if name != holder]:
            count = sum(groups[name] for name in outside)
            left_out = f"{counted(count, 'tensor')} outside {holder!r} {noun(count, 'is', 'are')} left out"
            notes = (*notes, f"{left_out} ({', '.join(outside[:3])})")
        current = inside


def _unwrapped(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.replace(wrapper, "")
    return key
