"""Measurement of the time of a training step by precision."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import nn

from seglab.networks.build import build_network, network_spec, require_size_fits
from seglab.recipes.recipe import Recipe

STEPS = 2
"""Measured steps in each precision; the fastest counts, because the first one includes preparations."""
MOST_ON_CPU = 2
"""Images per step on a CPU, where time grows in proportion to their number."""


def step_seconds(recipe: Recipe, device: torch.device, precisions: Sequence[str]) -> dict[str, float]:
    """Return the seconds of a training step of the recipe's network in each of ``fp32``, ``bf16``.

    It builds a separate network. The state of torch's random generator is restored afterwards.
    """
    batch = max(2, min(recipe.batch, MOST_ON_CPU) if device.type == "cpu" else recipe.batch)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        spec = network_spec(recipe)
        network = build_network(spec)
        require_size_fits(network, spec, recipe.size)
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.zeros(batch, 3, recipe.size, recipe.size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        return {name: min(_step(network, images, name) for _ in range(STEPS)) for name in precisions}


def _step(network: nn.Module, images: torch.Tensor, precision: str) -> float:
    _wait(images.device)
    started = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = network(images)
    logits.float().square().mean().backward()
    _wait(images.device)
    network.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
