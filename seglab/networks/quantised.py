"""Quantisation-aware training: training with the rounding of int8 (Jacob et al., arXiv 1712.05877).

Batch normalisation is folded into the convolutions. Every input tensor of a convolution, addition, concatenation,
resizing, padding or pooling then has a fixed range, and every convolution has a scale per output channel for its
weights. The network computes in one of two ways. When it simulates int8, it rounds tensors to 256 steps like the int8
model. Otherwise it clips tensors to their ranges and rounds only the weights. The fp32 version must do this, too,
because the network was trained with both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Range = tuple[float, int]
"""Scale and zero point: a step ``k`` from 0 to 255 stands for ``(k - zero) * scale``."""

STEPS = 255
WEIGHT_STEPS = 127
"""Steps of weights on either side of zero; -128 is not used, as in onnxruntime."""
OUTSIDE = 2e-3
"""Share of a tensor's values beyond its range on either side: a few large ones would make all steps coarse. Training
adapts to the clipping.
"""
SAMPLED = 1 << 20
"""Largest number of values of a tensor that are measured."""
TINY = 1e-12
EXAMPLE_SIDE = 64
"""Side of the image that is run to find which normalisation follows which convolution; all encoders take it."""

Act = Callable[[int, Tensor], Tensor]
"""Function that is applied to a tensor, given its number; tensors are numbered in the order of their first use."""


class Quantised(nn.Module):
    """A network with folded normalisation and ``ranges`` for its tensors, in the order of their first use.

    ``simulates``: whether tensors are rounded like int8; otherwise they are only clipped, in fp32. Weights are rounded
    in both. Gradients pass through the rounding and are zero where values are clipped.
    """

    def __init__(self, network: nn.Module, ranges: Sequence[Range], *, simulates: bool = False) -> None:
        super().__init__()
        self.network = network
        self.ranges = tuple((float(scale), int(zero)) for scale, zero in ranges)
        self.simulates = simulates
        self.exact: frozenset[int] = frozenset()
        """Numbers of tensors that are only clipped, even when simulating."""
        self._has_rounded_weights = False

    @property
    def encoder(self) -> nn.Module:
        """The encoder of a network of smp."""
        return self.network.get_submodule("encoder")

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's output for normalised images ``(N, 3, S, S)``."""
        act = self._rounded if self.simulates else self._clipped
        with _Seen(act, is_weight_rounded=not self._has_rounded_weights):
            result: Tensor = self.network(image)
        return result

    @torch.no_grad()
    def round_weights(self) -> None:
        """Round the weights permanently; the network cannot be trained afterwards."""
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.copy_(rounded_weight(module.weight, isinstance(module, nn.ConvTranspose2d)))
        self._has_rounded_weights = True

    def _rounded(self, number: int, x: Tensor) -> Tensor:
        if number in self.exact:
            return self._clipped(number, x)
        scale, zero = self.ranges[number]
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, STEPS)

    def _clipped(self, number: int, x: Tensor) -> Tensor:
        return x.clamp(*limits(self.ranges[number]))


def limits(range: Range) -> tuple[float, float]:
    """Return the smallest and largest value of a range."""
    scale, zero = range
    return -zero * scale, (STEPS - zero) * scale


def fold_normalisation(network: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions before it, in place; the network's output does not change.

    A convolution that is followed by several normalisations, or by none, stays as it is.
    """
    names = {id(module): name for name, module in network.named_modules()}
    pairs = _followed(network)
    uses = Counter(id(convolution) for convolution, _ in pairs)
    for convolution, norm in pairs:
        if uses[id(convolution)] == 1:
            is_transposed = isinstance(convolution, nn.ConvTranspose2d)
            folded = torch.nn.utils.fuse_conv_bn_eval(convolution, norm, is_transposed)
            _replace(network, names[id(convolution)], folded)
            _replace(network, names[id(norm)], getattr(norm, "act", nn.Identity()))  # timm's include an activation
    return network


@torch.no_grad()
def measure_ranges(network: nn.Module, batches: Iterable[Tensor]) -> list[Range]:
    """Return the ranges of a folded network's tensors: means over batches, without :data:`OUTSIDE` on either side.

    ``batches``: normalised images ``(N, 3, S, S)``.
    """
    found: dict[int, list[tuple[float, float]]] = {}

    def look(number: int, x: Tensor) -> Tensor:
        found.setdefault(number, []).append(_inner(x))
        return x

    was_training = network.training
    network.eval()
    for batch in batches:
        with _Seen(look, is_weight_rounded=False):
            network(batch)
    network.train(was_training)
    return [_range(found[number]) for number in sorted(found)]


class _Seen(TorchFunctionMode):
    """A mode in which ``act`` is applied, once each, to all tensors that int8 rounds.

    The inputs of convolutions, additions and so on are rounded, so activations stay with the layer before them.
    """

    def __init__(self, act: Act, *, is_weight_rounded: bool) -> None:
        super().__init__()
        self._act, self._is_weight_rounded = act, is_weight_rounded
        self._done: dict[int, tuple[Tensor, Tensor]] = {}  # keeps the tensors alive, so that their ids are not reused
        self._count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in CONVOLUTIONS:
            weight = rounded_weight(args[1], func is torch.conv_transpose2d) if self._is_weight_rounded else args[1]
            return func(self._acted(args[0]), weight, *args[2:], **kwargs)
        if func is torch.cat:
            return func([self._acted(part) for part in args[0]], *args[1:], **kwargs)
        if func in ADDITIONS and all(isinstance(part, Tensor) and part.dim() == 4 for part in args[:2]):
            return torch.add(*map(self._acted, args[:2]), *args[2:], **kwargs)
        if func in MOVES:
            result = func(self._acted(args[0]), *args[1:], **kwargs)
            if _keeps_values(func, args, kwargs):
                self._done[id(result)] = (result, result)
            return result
        result = func(*args, **kwargs)
        self._done.pop(id(result), None)  # changed in place
        return result

    def _acted(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or not x.is_floating_point() or 0 in x.shape[1:]:  # smp has features with zero channels
            return x
        if id(x) not in self._done:
            acted = self._act(self._count, x)
            self._count += 1
            self._done[id(x)] = (x, acted)
            self._done[id(acted)] = (acted, acted)
        return self._done[id(x)][1]


CONVOLUTIONS = (torch.conv2d, torch.conv_transpose2d)
ADDITIONS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__)
MOVES = (functional.interpolate, functional.pad, torch.max_pool2d, functional.max_pool2d)


def _keeps_values(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a function only moves values and adds zeros, which every range contains."""
    if func is functional.interpolate:
        return str(kwargs.get("mode", "nearest")).startswith("nearest")
    if func is functional.pad:
        return not (args[3] if len(args) > 3 else kwargs.get("value"))
    return True


def rounded_weight(weight: Tensor, is_transposed: bool) -> Tensor:
    """Return a convolution's weights rounded like int8: one scale per output channel, or one in all if transposed."""
    if is_transposed:
        scale = float(weight.detach().abs().amax()) / WEIGHT_STEPS
        return torch.fake_quantize_per_tensor_affine(weight, max(scale, TINY), 0, -WEIGHT_STEPS, WEIGHT_STEPS)
    scales = (weight.detach().abs().amax(dim=(1, 2, 3)) / WEIGHT_STEPS).clamp_min(TINY)  # (out,)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_STEPS, WEIGHT_STEPS)


def _followed(network: nn.Module) -> list[tuple[nn.Conv2d | nn.ConvTranspose2d, nn.BatchNorm2d]]:
    """Return convolutions with the batch normalisation that takes their output, found by running the network."""
    made: dict[int, tuple[nn.Conv2d | nn.ConvTranspose2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d | nn.ConvTranspose2d, nn.BatchNorm2d]] = []

    def note_output(module: Any, _: Any, output: Tensor) -> None:
        made[id(output)] = (module, output)

    def note_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            hooks.append(module.register_forward_hook(note_output))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(note_input))
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, 3, EXAMPLE_SIDE, EXAMPLE_SIDE))
    for hook in hooks:
        hook.remove()
    return pairs


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)


def _inner(x: Tensor) -> tuple[float, float]:
    """Return the range of a tensor's values without the share :data:`OUTSIDE` on either side."""
    values = x.detach().float().flatten()
    values = values[:: max(1, values.numel() // SAMPLED)]
    count = max(1, round(values.numel() * OUTSIDE))
    return float(values.kthvalue(count).values), float(values.kthvalue(values.numel() - count + 1).values)


def _range(found: Sequence[tuple[float, float]]) -> Range:
    """Return the range from the mean of lows to the mean of highs; it contains zero, exactly on a step."""
    low = min(0.0, sum(low for low, _ in found) / len(found))
    high = max(0.0, sum(high for _, high in found) / len(found))
    scale = max((high - low) / STEPS, TINY)
    return scale, round(-low / scale)
