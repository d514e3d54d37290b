"""Candidates for the encoder of tensors, by the names that families of encoders use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

FAMILIES = (
    ("patch_embed1.proj.weight", ("mit_",)),
    ("_conv_stem.weight", ("efficientnet-",)),
    ("conv_stem.weight", ("timm-efficientnet", "timm-tf_efficientnet")),
    ("features.conv0.weight", ("densenet",)),
    ("features.conv1_1.conv.weight", ("dpn",)),
    ("conv2d_1a.conv.weight", ("inceptionresnetv2",)),
    ("features.0.conv.weight", ("inceptionv4",)),
    ("features.0.0.weight", ("mobilenet_v2",)),
    ("features.0.weight", ("vgg",)),
    ("stage0.rbr_conv.0.conv.weight", ("mobileone",)),
    ("layer0.conv1.weight", ("senet", "se_")),
    ("block1.rep.0.conv1.weight", ("xception",)),
    ("layer1.0.conv1.weight", ("resnet", "resnext", "timm-sk")),
    ("layer1.0.conv1.paths.0.conv.weight", ("timm-sk",)),
)
"""For each family of smp's encoders: a pattern of its tensors, and the beginnings of the encoders' names."""
TIMM = "model."
TIMM_FAMILIES = (
    ("stem_0.weight", ("convnext_atto", "convnext_femto", "convnext_pico", "convnext_nano", "convnext_tiny",
                       "convnext_small", "convnext_base", "convnextv2_atto", "convnextv2_femto", "convnextv2_pico",
                       "convnextv2_nano", "convnextv2_tiny", "convnextv2_base")),
    ("conv_stem.weight", ("mobilenetv3_small_050", "mobilenetv3_small_075", "mobilenetv3_small_100",
                          "mobilenetv3_large_075", "mobilenetv3_large_100", "mobilenetv2_050", "mobilenetv2_100",
                          "mobilenetv2_140", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
                          "efficientnet_b3", "efficientnet_b4", "tf_efficientnet_b0", "tf_efficientnet_b1",
                          "tf_efficientnet_b2", "tf_efficientnet_b3", "tf_efficientnet_b4", "efficientnetv2_rw_t",
                          "efficientnetv2_rw_s", "tf_efficientnetv2_b0", "tf_efficientnetv2_s")),
    ("conv1.0.weight", ("resnet10t", "resnet26t", "resnet50d", "resnet34d", "resnet18d", "resnet14t", "resnet26d")),
    ("conv1.weight", ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet26", "resnext50_32x4d",
                      "seresnet50", "wide_resnet50_2", "hrnet_w18")),
    ("stem.conv.weight", ("regnetx_002", "regnetx_004", "regnetx_008", "regnetx_016", "regnety_002", "regnety_004",
                          "regnety_008", "regnety_016", "regnety_032")),
)  # fmt: skip
"""The same for common encoders of timm, which smp calls ``tu-NAME``."""


def encoder_candidates(shapes: Mapping[str, torch.Size]) -> Iterator[str]:
    """Yield names of encoders that may have these tensors (named without ``encoder.``), the most common first."""
    if all(key.startswith(TIMM) for key in shapes):
        within = {key.removeprefix(TIMM) for key in shapes}
        for telltale, names in TIMM_FAMILIES:
            if telltale in within:
                yield from (f"tu-{name}" for name in names)
        return
    from segmentation_models_pytorch.encoders import encoders

    for telltale, beginnings in FAMILIES:
        if telltale in shapes:
            yield from (name for name in encoders if name.startswith(beginnings))
            return


def twin_of(name: str | None) -> str | None:
    """Return timm's network with the same tensors but TensorFlow's padding, which the tensors do not show."""
    return f"tu-tf_{name.removeprefix('tu-')}" if name and name.startswith("tu-") else None
