"""Lines about a run's sources, for its summary and its forecast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from batch.errors import printable
from batch.sources.image_ref import SourceReport
from batch.sources.left_out import is_other_photograph
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.words import counted, noun, of_kind

SHOWN = 20


def sample_line(found: SourceReport) -> list[str]:
    """Return a line about the sample; none if all images were taken."""
    return [] if found.drawn is None else [str(found.drawn)]


def drawn_json(found: SourceReport) -> dict[str, int] | None:
    """Return the sample as JSON; None if all images were taken."""
    return None if found.drawn is None else found.drawn.to_json()


def left_out(found: SourceReport, shown: Callable[[str], str] = printable) -> list[str]:
    """Return lines about what may hold photographs and got no row. ``shown``: formats a path."""
    lines = [f"not readable: {line}" for line in found.unreadable[:SHOWN]]
    if len(found.unreadable) > SHOWN:
        lines.append(f"not readable: and {len(found.unreadable) - SHOWN} more")
    lines += [f"no images: {printable(source)}" for source in found.without_images[:SHOWN]]
    for reason, count in found.left_out.most_common():
        examples = [shown(path) for path in found.examples.get(reason, [])]
        more = f" and {count - len(examples):,} more" if count > len(examples) else ""
        lines.append(f"not opened: {', '.join(examples)}{more} ({reason})")
    return lines


def passed_over(found: SourceReport, repeated: int = 0) -> list[str]:
    """Return what a walk skipped, in a few words each. ``repeated``: files that were named twice."""
    parts = other_files(found)
    if found.unmatched:
        count = found.unmatched.total()
        which = f"that {noun(count, 'does', 'do')} not match the pattern ({_by_suffix(found.unmatched)})"
        parts.append(f"{of_kind(count, _unmatched_kinds(found))} {which}")
    parts += [of_kind(count, kind) for kind, count in found.set_aside.items()]
    if found.hidden:
        parts.append(f"{counted(found.hidden, 'hidden file or folder', 'hidden files and folders')}")
    parts += [f"output folder {printable(path)}" for path in found.outputs]
    parts += [f"folder linked twice {printable(path)}" for path in found.repeated_folders[:5]]
    return parts + ([f"{counted(repeated, 'file')} named twice"] if repeated else [])


def other_files(found: SourceReport) -> list[str]:
    """Return how many files are not images; none if all are."""
    count = sum(found.others.values())
    return [f"{counted(count, 'other file')} ({_by_suffix(found.others)})"] if count else []


def named_anyway(found: SourceReport) -> list[str]:
    """Return lines about sources that were taken because they were named, though they hardly hold photographs."""
    return [f"taken because it was named: {sentence}" for sentence in found.named_anyway]


def _unmatched_kinds(found: SourceReport) -> str:
    """Return a name for what a pattern leaves out; files without a telling name are not opened for that."""
    by_name = all(suffix in IMAGE_SUFFIXES or is_other_photograph(f"_{suffix}") for suffix in found.unmatched)
    return "images" if by_name else "images and files of unknown kind"


def _by_suffix(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {printable(suffix) or 'without suffix'}" for suffix, count in counts.most_common(5))
