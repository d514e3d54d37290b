"""The trainings of a release in their order, as data: another teacher is another line."""

from __future__ import annotations

from dataclasses import dataclass

DATA_SETS = ("isic2018", "isic2017")
"""Data folders for training. HAM10000 is only used for tests, because its licence is non-commercial."""
KEPT_OUT = ("originals/images", "isic2017/ISIC-2017_Validation_Data")
"""Data folders whose images are excluded from training, because the release is decided on them."""
MOBILENET = ("encoder_weights=$DATA/weights/mobilenet_v2_imagenet.pth",)
LICENCE = "Apache-2.0 (encoders initialised from Apache-2.0 weights); trained on CC0-1.0 images"


@dataclass(frozen=True)
class Training:
    """A network to train: the recipe ``package``, changed by ``key=value``; ``$DATA`` is the folder of the data."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All trainings of a release. ``student``: learns from the truth and the teachers' soft masks; ``quantised``: goes
    on from it (``$STUDENT``) with the rounding of int8. ``parity``: originals on which exports are compared with
    PyTorch. ``pictures``: how many of the worst images are shown.
    """

    name: str
    teachers: tuple[Training, ...]
    student: tuple[str, ...]
    quantised: tuple[str, ...]
    parity: int = 84
    pictures: int = 12


SHIPPED = Plan(
    "shipped",
    teachers=(),
    student=MOBILENET,
    quantised=("quantise=int8", "epochs=5", "lr=2e-4", "zoom_out=0.4", "teacher=$STUDENT", "seed=1"),
)
TAUGHT = Plan(
    "taught",
    teachers=(
        Training(
            "lite2",
            (
                "encoder=tu-tf_efficientnet_lite2", "encoder_weights=package",
                "decoder_channels=[96, 64, 48, 32, 16]", "size=224", "epochs=10", "ema=0.998", "zoom_out=0.5", "seed=1",
            ),
        ),
    ),
    student=(*MOBILENET, "epochs=16", "ema=0.998", "zoom_out=0.5", "seed=2"),
    quantised=("quantise=int8", "epochs=3", "lr=1e-4", "zoom_out=0.5", "seed=3"),
)  # fmt: skip
"""A student of a larger teacher. Its stage ``student`` was measured once, in fp32 on OpenVINO: Dice 0.9092 on the fixed
fifth, 0.8664 on ISIC 2017, 0.9099 on the originals, 0.9206 on HAM10000; ``SHIPPED`` in fp32 had 0.9122, 0.8636, 0.9160
and 0.9215. So it was not shipped."""
_TINY = ("size=64", "decoder_channels=[16, 16, 8, 8, 8]", "epochs=1", "batch=4", "workers=0", "precision=fp32",
         "encoder_weights=")  # fmt: skip
QUICK = Plan(
    "quick",
    teachers=(Training("small", _TINY),),
    student=_TINY,
    quantised=("quantise=int8", *_TINY),
    parity=2,
    pictures=4,
)  # fmt: skip
PLANS = {plan.name: plan for plan in (SHIPPED, TAUGHT, QUICK)}
