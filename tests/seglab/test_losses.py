"""Losses: by hand, against smp itself, and what every one of them has to do."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from seglab.errors import ConfigError
from seglab.losses import LOSSES, bce, dice, loss_of
from seglab.recipes.recipe import make_recipe

TRUTHS = {"half": [1.0, 0.0], "empty": [0.0, 0.0], "full": [1.0, 1.0], "soft": [0.8, 0.2]}
NAMES = [*LOSSES, "bce+dice", "focal+lovasz", "bce+tversky+jaccard"]


def test_losses_by_hand() -> None:
    logits = torch.tensor([[[[0.0, 20.0], [-20.0, -20.0]]]])
    target = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    expected = 1 - (2 * 1.5 + 1) / (1.5 + 2 + 1)
    assert dice(logits, target).item() == pytest.approx(expected, abs=1e-6)
    assert bce(logits, target).item() == pytest.approx(np.log(2) / 4, abs=1e-6)
    assert loss_of("bce+dice")(logits, target).item() == pytest.approx(expected + np.log(2) / 4, abs=1e-6)


def test_dice_is_the_product_form_on_hard_truths_and_lowest_at_a_soft_one() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, soft = torch.randn(3, 1, 8, 8, generator=draw), torch.rand(3, 1, 8, 8, generator=draw)
    prob, hard = logits.sigmoid(), (soft > 0.5).float()
    both = (prob * hard).sum(dim=(2, 3))
    expected = 1 - ((2 * both + 1) / (prob.sum(dim=(2, 3)) + hard.sum(dim=(2, 3)) + 1)).mean()
    assert dice(logits, hard).item() == pytest.approx(expected.item(), abs=1e-6)
    assert dice(torch.logit(soft), soft).item() == pytest.approx(0, abs=1e-6)
    for other in (hard * 40 - 20, torch.logit((soft + 0.1).clamp(0, 1), eps=1e-6), torch.zeros_like(soft)):
        assert dice(other, soft) > 0.05


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("truth", TRUTHS)
def test_every_loss_falls_towards_the_truth_and_has_a_gradient(name: str, truth: str) -> None:
    if name in ("tversky", "jaccard") and truth == "empty":
        pytest.skip("smp's count a batch without lesion as 0")
    target = torch.tensor(TRUTHS[truth]).view(1, 1, 2, 1).expand(2, 1, 2, 3).contiguous()  # (N, C, H, W)
    right = torch.logit(target, eps=1e-4)
    logits = torch.zeros_like(target, requires_grad=True)
    loss = loss_of(name)(logits, target)
    assert loss.shape == ()
    assert loss_of(name)(right, target) < loss < loss_of(name)(-right, target)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
    # The product forms of Tversky and Jaccard pull a soft target to its ends: that is why dice has another.
    if not (name in ("tversky", "jaccard") and truth == "soft"):
        assert bool((logits.grad * (logits.detach() - right) > 0).any()), "downhill is towards the truth"


@pytest.mark.parametrize("truth", TRUTHS)
def test_our_own_losses_reach_every_pixel(truth: str) -> None:
    target = torch.tensor(TRUTHS[truth]).view(1, 1, 2, 1).expand(2, 1, 2, 3).contiguous()
    for name in ("bce", "dice", "focal", "bce+dice"):
        logits = torch.zeros_like(target, requires_grad=True)
        loss_of(name)(logits, target).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert bool((logits.grad * (0 - torch.logit(target, eps=1e-4)) > 0).all()), name


def test_those_of_smp_are_smps() -> None:
    draw = torch.Generator().manual_seed(1)
    logits, target = torch.randn(3, 1, 8, 8, generator=draw), (torch.rand(3, 1, 8, 8, generator=draw) > 0.5).float()
    losses = smp.losses
    theirs = {
        "focal": losses.FocalLoss("binary"),
        "jaccard": losses.JaccardLoss("binary", from_logits=True),
        "tversky": losses.TverskyLoss("binary", from_logits=True, alpha=0.3, beta=0.7),
        "lovasz": losses.LovaszLoss("binary", per_image=True),
    }
    for name, loss in theirs.items():
        assert loss_of(name)(logits, target).item() == pytest.approx(loss(logits, target).item(), abs=1e-6), name


@pytest.mark.parametrize("name", ["", "bce+", "bce+bce", "hinge", "bce + dice"])
def test_a_loss_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected one of bce, dice, .* or a sum of them"):
        make_recipe({"loss": name})
