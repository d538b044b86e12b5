"""Initialisations.

Facts: fits (activations that it is made for; () for any); fan ("in", "both" or None: what the spread is computed
from); needs ("generator", "batch" or None).
"""

from glia.catalog.entry import Entry

_RELU_KIN = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardswish", "relu6", "softplus")
_SIGMOID_KIN = ("sigmoid", "hardsigmoid", "tanh", "softmax", "linear")
_GLOROT, _HE = "Glorot and Bengio 2010, AISTATS, equation 16", "He et al. 2015, arXiv 1502.01852, equation 10"

ENTRIES = (
    Entry(
        "xavier_uniform",
        "torch.nn.init:xavier_uniform_",
        "uniform, variance 2 / (fan in + fan out)",
        _GLOROT,
        {"fits": _SIGMOID_KIN, "fan": "both", "needs": "generator"},
    ),
    Entry(
        "xavier_normal",
        "torch.nn.init:xavier_normal_",
        "normal, variance 2 / (fan in + fan out)",
        _GLOROT,
        {"fits": _SIGMOID_KIN, "fan": "both", "needs": "generator"},
    ),
    Entry(
        "he_uniform",
        "torch.nn.init:kaiming_uniform_",
        "uniform, variance gain^2 / fan in",
        _HE,
        {"fits": _RELU_KIN, "fan": "in", "needs": "generator"},
    ),
    Entry(
        "he_normal",
        "torch.nn.init:kaiming_normal_",
        "normal, variance gain^2 / fan in",
        _HE,
        {"fits": _RELU_KIN, "fan": "in", "needs": "generator"},
    ),
    Entry(
        "orthogonal",
        "torch.nn.init:orthogonal_",
        "a random rotation times the gain",
        "Saxe et al. 2014, arXiv 1312.6120",
        {"fits": (), "fan": None, "needs": "generator"},
    ),
    Entry(
        "lsuv",
        "glia.nn.init:lsuv",
        "orthogonal, then each layer scaled until a real batch leaves it with variance 1",
        "Mishkin and Matas 2016, arXiv 1511.06422, algorithm 1",
        {"fits": (), "fan": None, "needs": "batch"},
    ),
    Entry(
        "zeros",
        "torch.nn.init:zeros_",
        "zeros: for biases, and the last layer of a residual branch, never for all weights",
        "Goyal et al. 2017, arXiv 1706.02677, section 5.1",
        {"fits": (), "fan": None, "needs": None},
    ),
)

ALIASES = {
    "xavier": "xavier_uniform",
    "glorot": "xavier_uniform",
    "glorot_uniform": "xavier_uniform",
    "glorot_normal": "xavier_normal",
    "he": "he_normal",
    "kaiming": "he_normal",
    "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
    "zero": "zeros",
}
