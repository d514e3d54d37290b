"""``--max-failures``: how many images may fail before a run stops, as a count or as a share."""

from __future__ import annotations

from dataclasses import dataclass

from batch.errors import TooManyFailuresError
from seglab.errors import ConfigError
from seglab.words import counted

ENOUGH = 100
"""A share is judged only from this many images on: the first failure would be 100 % of all so far."""


@dataclass(frozen=True)
class FailureLimit:
    """At most ``count`` images, or at most ``share`` of the finished images (done or failed), may fail."""

    text: str
    count: int | None = None
    share: float | None = None

    @classmethod
    def of(cls, text: str) -> FailureLimit:
        """Parse ``20`` or ``5%``. Raises :class:`ConfigError` for anything else."""
        try:
            limit = cls(text, share=float(text[:-1]) / 100) if text.endswith("%") else cls(text, count=int(text))
        except ValueError:
            limit = cls(text, count=-1)
        if (limit.count or 0) < 0 or not 0 <= (limit.share or 0) <= 1:
            raise ConfigError(f"{text!r} is not a failure limit; expected a count or a share like 5%.")
        return limit

    def require(self, done: int, failed: int) -> None:
        """Raise :class:`TooManyFailuresError` if more images have failed than allowed."""
        finished = done + failed
        too_many = self.count is not None and failed > self.count
        too_large = self.share is not None and finished >= ENOUGH and failed > self.share * finished
        if too_many or too_large:
            raise TooManyFailuresError(
                f"{failed:,} of {counted(finished, 'image')} failed; expected at most {self.text} (--max-failures). "
                "Images in progress were finished. See the reasons with `seg-batch status`, then run again to continue."
            )
