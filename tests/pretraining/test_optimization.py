"""Optimizer, learning rate and moving average follow the recipe."""

from __future__ import annotations

import pytest
import torch
from swin_umamba import VMambaTiny
from swin_umamba.pretraining.optimization import average_weights, learning_rate_at, make_optimizer


def test_norms_biases_and_the_parameters_of_the_scan_do_not_decay():
    network = VMambaTiny(3, embed_dim=8, depths=(1, 1, 1, 1), d_state=4)
    decaying, spared = make_optimizer(network, 1e-3, 0.05).param_groups
    assert (decaying["weight_decay"], spared["weight_decay"]) == (0.05, 0)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decaying = {names[id(parameter)] for parameter in decaying["params"]}
    spared = {names[id(parameter)] for parameter in spared["params"]}
    assert decaying | spared == set(names.values())
    assert {name.rsplit(".", 1)[-1] for name in decaying} == {"weight", "x_proj_weight", "dt_projs_weight"}
    assert not any("norm" in name or "ln_1" in name for name in decaying)
    assert {name.rsplit(".", 1)[-1] for name in spared} == {"weight", "bias", "dt_projs_bias", "A_logs", "Ds"}


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine():
    rates = [learning_rate_at(step, 110, 10, 1e-3) for step in range(110)]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[5] == pytest.approx((1e-6 + 1e-3) / 2)
    assert rates[10] == pytest.approx(1e-3)
    assert rates[60] == pytest.approx((1e-3 + 1e-5) / 2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5, rel=0.05)
    assert learning_rate_at(0, 10, 0, 1e-3) == pytest.approx(1e-3)


def test_the_average_follows_fast_at_first_and_slowly_later():
    module = torch.nn.Linear(1, 1, bias=False)
    averaged = average_weights(module, 0.9)
    expected = None
    for n in range(200):
        torch.nn.init.constant_(module.weight, float(n))
        averaged.update_parameters(module)
        weight = 1 - min(0.9, (1 + n) / (10 + n))
        expected = float(n) if expected is None else expected + weight * (n - expected)
        assert averaged.module.weight.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
