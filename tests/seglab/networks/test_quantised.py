"""Quantisation-aware training: normalisation folded, tensors rounded wherever int8 will round them."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from seglab.networks.build import build_network, restore_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, load_checkpoint, load_tensors, save_checkpoint
from seglab.networks.quantised import STEPS, Quantised, fold_normalisation, limits, measure_ranges, rounded_weight

SCRATCH = NetworkSpec("unet-scratch", options={"widths": [4, 8]})
MOBILE = NetworkSpec("unet", "mobilenet_v2", options={"decoder_channels": [8, 8, 8, 8, 8]})
SPECS = [SCRATCH, NetworkSpec("unet", "resnet18"), NetworkSpec("fpn", "tu-resnet10t"), MOBILE]
SIDE = 64


def network_of(spec: NetworkSpec) -> nn.Module:
    """Build it with statistics and weights of its normalisation as after training."""
    torch.manual_seed(3)
    network = build_network(spec).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return network


def quantised(spec: NetworkSpec) -> Quantised:
    network = fold_normalisation(network_of(spec))
    return Quantised(network, measure_ranges(network, [images(4)])).eval()


def images(count: int) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.arch}-{spec.encoder}")
def test_folding_changes_nothing(spec: NetworkSpec) -> None:
    network = network_of(spec)
    with torch.no_grad():
        before = network(images(2))
        folded = fold_normalisation(copy.deepcopy(network))
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        torch.testing.assert_close(folded(images(2)), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_a_normalisation_that_does_not_follow_a_convolution_stays() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.BatchNorm2d(2))
    kept = fold_normalisation(network)
    found = [type(module) for module in kept.children()]
    assert found == [nn.BatchNorm2d, nn.Conv2d, nn.Identity, nn.ReLU, nn.BatchNorm2d]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.arch}-{spec.encoder}")
def test_every_convolution_is_given_steps_of_8_bits(spec: NetworkSpec) -> None:
    """Seen below the simulation, where torch computes."""
    given: list[tuple[Tensor, Tensor]] = []

    class Spy(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.convolution.default:
                given.append((args[0], args[1]))
            return func(*args, **(kwargs or {}))

    network = quantised(spec)
    network.simulates = True
    with torch.no_grad(), Spy():  # type: ignore[no-untyped-call]
        network(images(1))
    assert len(given) == sum(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in network.modules())
    for tensor, weight in given:
        assert len(set(tensor.flatten().tolist())) <= STEPS + 1
        assert all(len(set(part.flatten().tolist())) <= STEPS for part in weight)


def test_the_twin_has_rounded_weights_and_keeps_to_the_ranges() -> None:
    network = quantised(SCRATCH)
    with torch.no_grad():
        clipped = network(images(4))
        network.simulates = True
        rounded = network(images(4))
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.copy_(rounded_weight(module.weight, isinstance(module, nn.ConvTranspose2d)))
        unclipped = network.network(images(4))
        wide = Quantised(network.network, [(scale * 100, zero) for scale, zero in network.ranges])
        torch.testing.assert_close(wide(images(4)), unclipped)
    assert 0 < (clipped - rounded).abs().mean() < 0.1 * clipped.abs().mean()
    assert (clipped - unclipped).abs().max() > 0


def test_rounding_the_weights_for_all_times_changes_nothing() -> None:
    network = quantised(MOBILE)
    with torch.no_grad():
        before = network(images(2))
        network.round_weights()
        after = network(images(2))
        network.round_weights()
        torch.testing.assert_close(after, before)
        torch.testing.assert_close(network(images(2)), before)


def test_a_tensor_that_is_changed_in_place_is_rounded_again() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = functional.max_pool2d(x, 1)
            y = x + x
            y += x
            functional.relu_(y)
            return functional.max_pool2d(y, 1)

    grid = [(1.0, 128), (1.0, 128), (1.0, 0)]
    network = Quantised(InPlace(), grid, simulates=True)
    x = torch.tensor([[[[-3.4, 2.4, 90.2]]]])
    assert network(x).flatten().tolist() == [0.0, 6.0, 217.0]  # 90 + 90 = 180, which the range cuts to 127


def test_gradients_pass_the_rounding_and_stop_at_what_is_clipped() -> None:
    network = Quantised(nn.Conv2d(1, 1, 1, bias=False), [(0.1, 0)], simulates=True)
    nn.init.constant_(network.network.weight, 2.0)  # type: ignore[arg-type]
    x = torch.tensor([[[[0.52, 30.0, -1.0]]]], requires_grad=True)
    network(x).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [2.0, 0.0, 0.0]
    assert network.network.weight.grad is not None


def test_weights_have_a_scale_per_channel_and_255_steps() -> None:
    weight = torch.tensor([[0.1, -1.27, 0.004], [100.0, 127.0, -3.4]]).view(2, 3, 1, 1)
    expected = torch.tensor([[0.1, -1.27, 0.0], [100.0, 127.0, -3.0]]).view(2, 3, 1, 1)
    torch.testing.assert_close(rounded_weight(weight, is_transposed=False), expected)
    single = rounded_weight(weight, is_transposed=True)
    torch.testing.assert_close(single[0], torch.tensor([0.0, -1.0, 0.0]).view(3, 1, 1))


def test_ranges_hold_zero_and_leave_out_the_farthest_values() -> None:
    values = torch.linspace(5, 6, 20_000).view(1, 1, 100, 200)
    values[0, 0, 0, 0] = 1e6
    ((scale, zero),) = measure_ranges(nn.MaxPool2d(1), [values])
    assert zero == 0
    assert limits((scale, zero))[1] == pytest.approx(6, abs=1e-2)


def test_a_checkpoint_keeps_the_ranges_and_others_stay_as_older_versions_read_them(tmp_path: Path) -> None:
    network = quantised(MOBILE)
    spec = dataclasses.replace(MOBILE, ranges=network.ranges)
    save_checkpoint(Checkpoint(spec, SIDE, network.state_dict()), tmp_path / "q.pt")
    restored = restore_network(load_checkpoint(tmp_path / "q.pt"))
    assert isinstance(restored, Quantised)
    assert not restored.simulates
    with torch.no_grad():
        torch.testing.assert_close(restored(images(2)), network(images(2)))
    save_checkpoint(Checkpoint(MOBILE, SIDE, network_of(MOBILE).state_dict()), tmp_path / "plain.pt")
    assert "ranges" not in load_tensors(tmp_path / "plain.pt")["network"]
    assert not isinstance(restore_network(load_checkpoint(tmp_path / "plain.pt")), Quantised)
