"""Losses: by hand, and what every one of them has to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seglab.losses import LOSSES, bce, bce_dice, dice


def test_losses_by_hand() -> None:
    logits = torch.tensor([[[[0.0, 20.0], [-20.0, -20.0]]]])
    target = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    expected = 1 - (2 * 1.5 + 1) / (1.5 + 2 + 1)
    assert dice(logits, target).item() == pytest.approx(expected, abs=1e-6)
    assert bce(logits, target).item() == pytest.approx(np.log(2) / 4, abs=1e-6)
    assert bce_dice(logits, target).item() == pytest.approx(expected + np.log(2) / 4, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("truth", ["half", "empty", "full", "soft"])
def test_every_loss_falls_towards_the_truth_and_has_a_gradient(name: str, truth: str) -> None:
    rows = {"half": [1.0, 0.0], "empty": [0.0, 0.0], "full": [1.0, 1.0], "soft": [0.8, 0.2]}[truth]
    target = torch.tensor(rows).view(1, 1, 2, 1).expand(2, 1, 2, 3).contiguous()  # (N, C, H, W)
    right = torch.logit(target, eps=1e-4)
    logits = torch.zeros_like(target, requires_grad=True)
    loss = LOSSES[name](logits, target)
    assert loss.shape == ()
    assert LOSSES[name](right, target) < loss < LOSSES[name](-right, target)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool((logits.grad.abs() > 0).all())
    assert bool(torch.isfinite(logits.grad).all())
    assert bool((logits.grad * (logits.detach() - right) > 0).all()), "downhill is towards the truth"
