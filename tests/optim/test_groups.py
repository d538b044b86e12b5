"""Which parameters decay, and at what rate they learn."""

import pytest
import torch
from torch import nn

from glia.errors import GliaError
from glia.optim.groups import groups, undecayed


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 6)
        self.conv = nn.Conv2d(3, 6, 3)
        self.batch = nn.BatchNorm2d(6)
        self.plane = nn.LayerNorm((6, 4, 4))  # its weight has 3 dimensions
        self.rnn = nn.LSTM(6, 5)
        self.attention = nn.MultiheadAttention(6, 2)
        self.scale = nn.Parameter(torch.ones(()))
        self.head_bias = nn.Parameter(torch.zeros(4, 1, 3))
        self.weights = nn.ParameterList([torch.zeros(4, 2, 3)])
        self.biases = nn.ParameterList([torch.zeros(4, 1, 3)])
        self.output = nn.Linear(6, 10)


DECAYED = {
    "conv.weight",
    "rnn.weight_ih_l0",
    "rnn.weight_hh_l0",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "weights.0",
    "output.weight",
}


def test_norms_biases_embeddings_and_vectors_do_not_decay() -> None:
    model = Mixed()
    every = {name for name, _ in model.named_parameters()}
    assert undecayed(model) == every - DECAYED
    made = {group["weight_decay"]: {name for name, _ in group["params"]} for group in groups(model, 0.1)}
    assert made == {0.1: DECAYED, 0.0: every - DECAYED}


def test_a_tied_embedding_does_not_decay_whoever_comes_first() -> None:
    for first, second in (("words", "output"), ("output", "words")):
        model = nn.Module()
        layers = {"words": nn.Embedding(10, 6), "output": nn.Linear(6, 10, bias=False)}
        layers["output"].weight = layers["words"].weight
        model.add_module(first, layers[first])
        model.add_module(second, layers[second])
        [group] = groups(model, 0.1)
        assert group["weight_decay"] == 0 and len(group["params"]) == 1


def test_rates_by_prefix_multiply_through_nested_modules() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    inner.param_lr = {"1": 5.0, "1.bias": 2.0}  # type: ignore[assignment]
    outer = nn.Sequential(inner, nn.Linear(2, 2))
    outer.param_lr = {"0": 0.1}  # type: ignore[assignment]
    scales = {name: group["lr_scale"] for group in groups(outer, 0.1) for name, _ in group["params"]}
    assert scales == pytest.approx(
        {"0.0.weight": 0.1, "0.0.bias": 0.1, "0.1.weight": 0.5, "0.1.bias": 0.2, "1.weight": 1.0, "1.bias": 1.0}
    )


def test_mistakes_are_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model.param_lr = {"0.weigth": 2.0}  # type: ignore[assignment]
    with pytest.raises(GliaError, match=r"'0.weigth', which no parameter has.*0.weight"):
        groups(model, 0.0)
    model.param_lr = {"0": -1.0}  # type: ignore[assignment]
    with pytest.raises(GliaError, match="param_lr of '0'; got -1.0"):
        groups(model, 0.0)
    with pytest.raises(GliaError, match="ReLU has no parameters"):
        groups(nn.ReLU(), 0.0)
