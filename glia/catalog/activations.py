"""Activations.

Facts: range (lowest and highest output); saturates ("both" ends go flat, "left" only, or None); init (name of the
fitting initialisation); gain (what multiplies its standard deviation). The gains of ReLU's smooth kin are 1 / sqrt(E
f(z)^2), z ~ N(0, 1): they keep the second moment from layer to layer, as equation 10 of He et al. does for ReLU. For
sigmoid and tanh the gains are torch's (the hard sigmoid has the sigmoid's), for SELU the 1 of its paper.
Without norms GELU and SiLU hold the signal for some eight layers only: in ten it grows 1.4 and 3 times, then faster.
"""

from math import inf

from glia.catalog.entry import Entry

_HE_INIT, _GLOROT_INIT = "he_normal", "xavier_uniform"

ENTRIES = (
    Entry(
        "relu",
        "torch.nn:ReLU",
        "max(0, z): the plain choice; a unit that is always below 0 is dead",
        "Nair and Hinton 2010, ICML",
        {"range": (0.0, inf), "saturates": "left", "init": _HE_INIT, "gain": 2**0.5},
    ),
    Entry(
        "leaky_relu",
        "torch.nn:LeakyReLU",
        "ReLU with a slope of 0.01 below 0, so that no unit dies",
        "Maas et al. 2013, ICML workshop",
        {"range": (-inf, inf), "saturates": None, "init": _HE_INIT, "gain": (2 / (1 + 0.01**2)) ** 0.5},
    ),
    Entry(
        "elu",
        "torch.nn:ELU",
        "z above 0, exp(z) - 1 below: smooth, with a mean near 0",
        "Clevert et al. 2016, arXiv 1511.07289",
        {"range": (-1.0, inf), "saturates": "left", "init": _HE_INIT, "gain": 1.2452},
    ),
    Entry(
        "selu",
        "torch.nn:SELU",
        "scaled ELU: keeps mean 0 and variance 1 by itself in plain deep networks",
        "Klambauer et al. 2017, arXiv 1706.02515",
        {"range": (-1.7581, inf), "saturates": "left", "init": "he_normal", "gain": 1.0},
    ),
    Entry(
        "gelu",
        "torch.nn:GELU",
        "z times the normal distribution's share below z: usual in Transformers",
        "Hendrycks and Gimpel 2016, arXiv 1606.08415",
        {"range": (-0.17, inf), "saturates": "left", "init": _HE_INIT, "gain": 1.5335},
    ),
    Entry(
        "silu",
        "torch.nn:SiLU",
        "z sigmoid(z), also called swish",
        "Elfwing et al. 2017, arXiv 1702.03118",
        {"range": (-0.2785, inf), "saturates": "left", "init": _HE_INIT, "gain": 1.6765},
    ),
    Entry(
        "mish",
        "torch.nn:Mish",
        "z tanh(softplus(z)): near SiLU, a little lower below 0",
        "Misra 2020, arXiv 1908.08681",
        {"range": (-0.3089, inf), "saturates": "left", "init": _HE_INIT, "gain": 1.4868},
    ),
    Entry(
        "hardswish",
        "torch.nn:Hardswish",
        "SiLU from straight lines and a parabola, z relu6(z + 3) / 6: for small devices",
        "Howard et al. 2019, arXiv 1905.02244, section 5.2",
        {"range": (-0.375, inf), "saturates": "left", "init": _HE_INIT, "gain": 1.7367},
    ),
    Entry(
        "relu6",
        "torch.nn:ReLU6",
        "ReLU that ends at 6, so that low precision can hold it",
        "Krizhevsky 2010; Sandler et al. 2018, arXiv 1801.04381",
        {"range": (0.0, 6.0), "saturates": "both", "init": _HE_INIT, "gain": 2**0.5},
    ),
    Entry(
        "softplus",
        "torch.nn:Softplus",
        "log(1 + exp(z)): a smooth ReLU, always above 0; for outputs such as a spread",
        "Dugas et al. 2001, NeurIPS 13",
        {"range": (0.0, inf), "saturates": "left", "init": _HE_INIT, "gain": 1.0419},
    ),
    Entry(
        "sigmoid",
        "torch.nn:Sigmoid",
        "1 / (1 + exp(-z)): between 0 and 1; flat at both ends",
        "Rumelhart et al. 1986, Nature 323",
        {"range": (0.0, 1.0), "saturates": "both", "init": _GLOROT_INIT, "gain": 1.0},
    ),
    Entry(
        "hardsigmoid",
        "torch.nn:Hardsigmoid",
        "sigmoid from straight lines, relu6(z + 3) / 6: for gates on small devices",
        "Howard et al. 2019, arXiv 1905.02244, section 5.2",
        {"range": (0.0, 1.0), "saturates": "both", "init": _GLOROT_INIT, "gain": 1.0},
    ),
    Entry(
        "tanh",
        "torch.nn:Tanh",
        "between -1 and 1, with mean 0; flat at both ends",
        "LeCun et al. 1998, Efficient BackProp",
        {"range": (-1.0, 1.0), "saturates": "both", "init": _GLOROT_INIT, "gain": 5 / 3},
    ),
    Entry(
        "softmax",
        "torch.nn:Softmax",
        "shares that sum to 1; an output, which the losses here apply themselves",
        "Bridle 1990",
        {"range": (0.0, 1.0), "saturates": "both", "init": _GLOROT_INIT, "gain": 1.0},
    ),
    Entry(
        "linear",
        "torch.nn:Identity",
        "z as it is: the output of a regression",
        None,
        {"range": (-inf, inf), "saturates": None, "init": _GLOROT_INIT, "gain": 1.0},
    ),
)

ALIASES = {"identity": "linear", "none": "linear", "swish": "silu", "logistic": "sigmoid", "lrelu": "leaky_relu"}
