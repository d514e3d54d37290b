"""Recognition of architectures and their options by names and shapes of tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

Shapes = Mapping[str, torch.Size]

SMP_PARTS = ("encoder.", "decoder.", "segmentation_head.")
HEAD = "segmentation_head.0.weight"
CLASSIFIER = "classification_head."
"""Prefix of the classifier in smp networks that also classify the image; it is not exported."""
TELLTALES = (
    ("unetplusplus", "decoder.blocks.x_0_0."),
    ("manet", "decoder.center.top_conv."),
    ("linknet", "decoder.blocks.0.block."),
    ("unet", "decoder.blocks.0.conv"),
    ("fpn", "decoder.seg_blocks."),
    ("upernet", "decoder.fusion_block."),
    ("pspnet", "decoder.psp.blocks.0.pool."),
    ("pan", "decoder.fpa."),
    ("deeplabv3plus", "decoder.block1."),
    ("deeplabv3", "decoder.aspp.convs."),
    ("segformer", "decoder.mlp_stage."),
    ("dpt", "decoder.projection_blocks."),
    ("unet-scratch", "rise.0."),
    ("unet-plain", "inc.double_conv."),
)
"""Beginnings of names that only one architecture has; the first that is present decides."""
RENAMED = (
    (re.compile(r"^decoder\.0\.(convs|project)\."), r"decoder.aspp.\1."),  # DeepLabV3 of smp up to 0.4
    (re.compile(r"^decoder\.1\.weight$"), "decoder.conv.weight"),
    (re.compile(r"^decoder\.2\."), "decoder.bn."),
    (re.compile(r"^(inc|up\d\.conv)\.conv\."), r"\1.double_conv."),  # the plain U-Net before 2020
    (re.compile(r"^(down\d)\.mpconv\.1\.conv\."), r"\1.maxpool_conv.1.double_conv."),
)
"""Names in earlier releases, and their present form."""
NORM = "decoder_use_norm"


def modern_name(key: str) -> str:
    """Return the name of a tensor in current releases."""
    for pattern, name in RENAMED:
        key = pattern.sub(name, key)
    return key


def architecture(shapes: Shapes) -> str | None:
    """Return the architecture of tensors with these names, or None if unknown."""
    arch = next((arch for arch, part in TELLTALES if any(key.startswith(part) for key in shapes)), None)
    is_smp = any(key.startswith("encoder.") for key in shapes) and HEAD in shapes
    return arch if arch is None or arch.startswith("unet-") or is_smp else None


def class_count(shapes: Shapes, arch: str) -> int | None:
    """Return the number of classes of the last layer, or None if it is not found."""
    key = {"unet-scratch": "head.weight", "unet-plain": "outc.conv.weight", "dpt": "segmentation_head.head.4.weight"}
    found = shapes.get(key.get(arch, HEAD))
    return int(found[0]) if found else None


def options_of(arch: str, shapes: Shapes) -> dict[str, Any]:
    """Return the constructor options that follow from the shapes. Raises :class:`KeyError` for a missing tensor."""
    if arch in OWN_OPTIONS:
        return OWN_OPTIONS[arch](shapes)
    options = SMP_OPTIONS[arch](shapes) if arch in SMP_OPTIONS else {}
    return {key: value for key, value in options.items() if value is not None}


def _scratch(shapes: Shapes) -> dict[str, Any]:
    depth = _count(shapes, r"down\.(\d+)\.")
    return {"widths": [_out(shapes, "stem.0.weight"), *(_out(shapes, f"down.{i}.0.weight") for i in range(depth))]}


def _plain(shapes: Shapes) -> dict[str, Any]:
    depth = _count(shapes, r"down(\d+)\.")
    bilinear = not any(key.startswith("up1.up.") for key in shapes)
    widths = [_out(shapes, "inc.double_conv.0.weight")]
    widths += [_out(shapes, f"down{i}.maxpool_conv.1.double_conv.3.weight") for i in range(1, depth + 1)]
    widths[-1] *= 2 if bilinear else 1
    return {"widths": widths, "bilinear": bilinear, "bias": "inc.double_conv.0.bias" in shapes}


def _unet(shapes: Shapes) -> dict[str, Any]:
    depth = _count(shapes, r"decoder\.blocks\.(\d+)\.")
    channels = [_out(shapes, f"decoder.blocks.{i}.conv1.0.weight") for i in range(depth)]
    return {
        "decoder_channels": channels,
        "decoder_attention_type": _attention(shapes, "decoder.blocks.0"),
        NORM: _norm(shapes, "decoder.blocks.0.conv1"),
    }


def _unetplusplus(shapes: Shapes) -> dict[str, Any]:
    depth = _count(shapes, r"decoder\.blocks\.x_0_(\d+)\.")
    return {
        "decoder_channels": [_out(shapes, f"decoder.blocks.x_0_{i}.conv1.0.weight") for i in range(depth)],
        "decoder_attention_type": _attention(shapes, "decoder.blocks.x_0_0"),
        NORM: _norm(shapes, "decoder.blocks.x_0_0.conv1"),
    }


def _manet(shapes: Shapes) -> dict[str, Any]:
    found = {**_unet(shapes), "decoder_pab_channels": _out(shapes, "decoder.center.top_conv.weight")}
    return {key: value for key, value in found.items() if key != "decoder_attention_type"}


def _linknet(shapes: Shapes) -> dict[str, Any]:
    depth = _count(shapes, r"decoder\.blocks\.(\d+)\.")
    return {"encoder_depth": depth, NORM: _norm(shapes, "decoder.blocks.0.block.0")}


def _fpn(shapes: Shapes) -> dict[str, Any]:
    segmentation = _out(shapes, "decoder.seg_blocks.0.block.0.block.0.weight")
    pyramid = _out(shapes, "decoder.p5.weight")
    merged = int(shapes[HEAD][1])
    return {
        "decoder_pyramid_channels": pyramid,
        "decoder_segmentation_channels": segmentation,
        "decoder_merge_policy": "cat" if merged == 4 * segmentation else "add",
    }


def _pspnet(shapes: Shapes) -> dict[str, Any]:
    plain = "decoder.conv.1.running_mean" not in shapes
    return {"psp_out_channels": _out(shapes, "decoder.conv.0.weight"), NORM: False if plain else None}


def _pan(shapes: Shapes) -> dict[str, Any]:
    return {"decoder_channels": _out(shapes, "decoder.fpa.branch1.1.conv.weight")}


def _deeplab(shapes: Shapes) -> dict[str, Any]:
    prefix = "decoder.aspp.convs" if "decoder.aspp.convs.0.0.weight" in shapes else "decoder.aspp.0.convs"
    separable = f"{prefix}.1.0.0.weight" in shapes
    return {"decoder_channels": _out(shapes, f"{prefix}.0.0.weight"), "decoder_aspp_separable": separable}


def _upernet(shapes: Shapes) -> dict[str, Any]:
    return {"decoder_channels": _out(shapes, "decoder.fusion_block.0.weight")}


def _segformer(shapes: Shapes) -> dict[str, Any]:
    return {"decoder_segmentation_channels": _out(shapes, "decoder.mlp_stage.0.linear.weight")}


SMP_OPTIONS = {
    "unet": _unet,
    "unetplusplus": _unetplusplus,
    "manet": _manet,
    "linknet": _linknet,
    "fpn": _fpn,
    "pspnet": _pspnet,
    "pan": _pan,
    "deeplabv3": _deeplab,
    "deeplabv3plus": _deeplab,
    "upernet": _upernet,
    "segformer": _segformer,
}
OWN_OPTIONS = {"unet-scratch": _scratch, "unet-plain": _plain}


def _count(shapes: Shapes, pattern: str) -> int:
    """Return the number of distinct values of the pattern's group in the names."""
    return len({match[1] for key in shapes if (match := re.match(pattern, key))})


def _out(shapes: Shapes, key: str) -> int:
    return int(shapes[key][0])


def _attention(shapes: Shapes, block: str) -> str | None:
    return "scse" if any(key.startswith(f"{block}.attention1.attention.") for key in shapes) else None


def _norm(shapes: Shapes, layer: str) -> str | bool | None:
    """Return the normalisation after a convolution; None for smp's default, batch normalisation."""
    if f"{layer}.1.running_mean" in shapes:
        return None
    return "layernorm" if f"{layer}.1.weight" in shapes else False
