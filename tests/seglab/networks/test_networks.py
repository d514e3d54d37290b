"""Networks, their weights, and checkpoints."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from seglab.errors import CheckpointError, ConfigError
from seglab.evaluation.original import Predictor
from seglab.networks.build import OWN, build_network, network_spec, parameter_count, require_size_fits, restore_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, load_checkpoint, save_checkpoint
from seglab.networks.unet import UNet
from seglab.recipes.recipe import OWN_ARCHITECTURES, SMP_ARCHITECTURES, make_recipe

SCRATCH = NetworkSpec("unet-scratch", options={"widths": [4, 8, 16]})
SMP = NetworkSpec("unet", "resnet18", options={"decoder_channels": [16, 8, 8]})


@pytest.mark.parametrize("spec", [SCRATCH, SMP, NetworkSpec("unet", "tu-resnet10t", options={})])
def test_networks_give_logits_at_the_input_size(spec: NetworkSpec) -> None:
    logits = build_network(spec).eval()(torch.rand(2, 3, 64, 96))
    assert logits.shape == (2, 1, 64, 96)


def double_conv(inputs: int, outputs: int) -> int:
    """Weights of two 3x3 convolutions without bias, and of their batch normalisations."""
    return 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs


def test_the_scratch_unet_is_the_published_one() -> None:
    """Weights counted level by level for the paper's widths; its 2x2 up-convolutions have a bias."""
    expected = double_conv(3, 64) + 64 + 1
    for shallow, deep in itertools.pairwise((64, 128, 256, 512, 1024)):
        expected += double_conv(shallow, deep) + 4 * deep * shallow + shallow + double_conv(2 * shallow, shallow)
    assert sum(weights.numel() for weights in UNet().parameters()) == expected


@pytest.mark.parametrize(
    ("spec", "weights", "error", "message"),
    [
        (NetworkSpec("unet", "resnet81"), None, ConfigError, "Did you mean resnet18"),
        (NetworkSpec("unet", "tu-nothing"), None, ConfigError, "encoder of smp"),
        (NetworkSpec("vnet"), None, ConfigError, "unet, unetplusplus, .*unet-scratch"),
        (NetworkSpec("unet", "resnet18", options={"depth": 3}), None, ConfigError, "cannot be built"),
        (SCRATCH, "imagenet", ConfigError, "no encoder"),
        (SMP, "gone.pth", CheckpointError, "does not exist"),
    ],
)
def test_what_cannot_be_built_says_why(
    spec: NetworkSpec, weights: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build_network(spec, weights)


def test_encoder_weights_come_from_a_file(tmp_path: Path) -> None:
    donor = build_network(SMP).get_submodule("encoder").state_dict()
    torch.save({**donor, "fc.weight": torch.zeros(10, 512)}, tmp_path / "encoder.pth")
    network = build_network(SMP, str(tmp_path / "encoder.pth"))
    for key, value in network.get_submodule("encoder").state_dict().items():
        assert torch.equal(value, donor[key]), key


def test_encoder_weights_may_lack_the_counters_of_batch_normalisation(tmp_path: Path) -> None:
    donor = build_network(SMP).get_submodule("encoder").state_dict()
    older = {key: value for key, value in donor.items() if not key.endswith("num_batches_tracked")}
    assert len(older) < len(donor)
    torch.save(older, tmp_path / "older.pth")
    encoder = build_network(SMP, str(tmp_path / "older.pth")).get_submodule("encoder").state_dict()
    assert encoder.keys() == donor.keys()
    assert all(torch.equal(encoder[key], value) for key, value in older.items())


def test_encoder_weights_may_not_lack_the_statistics_of_batch_normalisation(tmp_path: Path) -> None:
    state = build_network(SMP).get_submodule("encoder").state_dict()
    torch.save({key: value for key, value in state.items() if not key.endswith("running_var")}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match=r"lacks 20 of the encoder's .* bn1\.running_var"):
        build_network(SMP, str(tmp_path / "part.pth"))


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    torch.save(UNet(widths=(4, 8)).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"lacks .* of the encoder"):
        build_network(SMP, str(tmp_path / "other.pth"))


def test_pretrained_weights_without_a_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import segmentation_models_pytorch as smp

    def offline(*_arguments: object, **_options: object) -> nn.Module:
        raise OSError("Name or service not known")

    monkeypatch.setattr(smp, "create_model", offline)  # or it would be tried in earnest, again and again
    with pytest.raises(CheckpointError, match=r"could not be fetched .*seglab\[weights\].*from scratch"):
        build_network(SMP, "imagenet")


@pytest.mark.real
def test_the_pretrained_mobilenet_loads(data_dir: Path) -> None:
    path = data_dir / "weights" / "mobilenet_v2_imagenet.pth"
    network = build_network(NetworkSpec("unet", "mobilenet_v2"), str(path))
    stem = torch.load(path, weights_only=True)["features.0.0.weight"]
    assert torch.equal(network.get_parameter("encoder.features.0.0.weight"), stem)


def test_checkpoints_come_back_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = build_network(SCRATCH).eval()
    saved = Checkpoint(SCRATCH, 32, network.state_dict(), threshold=0.4, training={"epochs": 3, "sets": ["a"]})
    save_checkpoint(saved, tmp_path / "c.pt")
    loaded = load_checkpoint(tmp_path / "c.pt")
    assert (loaded.network, loaded.size, loaded.threshold, loaded.training) == (SCRATCH, 32, 0.4, saved.training)
    assert len(loaded.sha256) == 64
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(restore_network(loaded)(x), network(x))


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    with pytest.raises(CheckpointError, match="does not exist"):
        load_checkpoint(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_checkpoint(path)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a seglab checkpoint"):
        load_checkpoint(path)
    torch.save({"kind": "seglab checkpoint", "format_version": 99}, path)
    with pytest.raises(CheckpointError, match="format 99"):
        load_checkpoint(path)


def test_a_torn_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(Checkpoint(SCRATCH, 32, build_network(SCRATCH).state_dict()), tmp_path / "c.pt")
    whole = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_checkpoint(tmp_path / "c.pt")


def test_the_predictor_normalises_resizes_and_thresholds() -> None:
    """A network that passes the red channel through shows every other step."""
    spec = NetworkSpec("unet-scratch", options={"widths": [4, 8]})
    predictor = Predictor(Checkpoint(spec, 16, build_network(spec).state_dict(), threshold=0.6))

    class Red(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1]

    predictor.networks[0].network = Red()
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    red = torch.from_numpy(image[..., 0]).float()[None, None]
    small = functional.interpolate(red, (16, 16), mode="bilinear", antialias=True) / 255
    prob = torch.sigmoid((small - 0.485) / 0.229)
    assert np.allclose(predictor.prob(image), prob[0, 0].numpy(), atol=1e-5)
    full = functional.interpolate(prob, (50, 70), mode="bilinear")[0, 0].numpy()
    assert np.array_equal(predictor.mask(image), np.where(full >= 0.6, 255, 0))


@pytest.mark.parametrize("arch", [name for name in SMP_ARCHITECTURES if name != "dpt"])
def test_every_architecture_of_smp_gives_logits_of_the_images_size(arch: str) -> None:
    encoder = "mit_b0" if arch == "segformer" else "mobilenet_v2"
    spec = NetworkSpec(arch, encoder)
    network = build_network(spec)
    require_size_fits(network, spec, 128)
    assert network.training
    assert parameter_count(network) > 1e6


@pytest.mark.parametrize("arch", OWN_ARCHITECTURES)
@pytest.mark.parametrize("classes", [1, 3])
def test_every_architecture_of_our_own_is_built_at_the_widths_of_a_recipe(arch: str, classes: int) -> None:
    recipe = make_recipe({"arch": arch, "widths": [4, 8, 16]})
    spec = dataclasses.replace(network_spec(recipe), classes=classes)
    network = build_network(spec)
    require_size_fits(network, spec, 32)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, classes, 32, 32)
    assert set(OWN) == set(OWN_ARCHITECTURES)


def test_dpt_takes_a_transformer_of_timm() -> None:
    spec = NetworkSpec("dpt", "tu-vit_tiny_patch16_224", options={"encoder_depth": 4})
    network = build_network(spec)
    require_size_fits(network, spec, 224)
    with pytest.raises(ConfigError, match="dpt with encoder resnet18"):
        build_network(NetworkSpec("dpt", "resnet18"))


@pytest.mark.parametrize(
    ("spec", "size"), [(SCRATCH, 30), (NetworkSpec("fpn", "resnet18"), 65), (NetworkSpec("pan", "resnet18"), 64)]
)
def test_a_size_that_does_not_fit_is_an_error(spec: NetworkSpec, size: int) -> None:
    with pytest.raises(ConfigError, match=f"{size} x {size}"):
        require_size_fits(build_network(spec), spec, size)
