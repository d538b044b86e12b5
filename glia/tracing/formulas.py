"""How an operation is written, forward and backward."""

_ACTIVATIONS = {
    "relu": "max(0, {0})",
    "sigmoid": "1 / (1 + e^-{0})",
    "tanh": "tanh({0})",
    "softmax": "e^{0} / sum of e^{0}",
    "log_softmax": "log(e^{0} / sum of e^{0})",
    "leaky_relu": "{0} where {0} > 0, else slope * {0}",
    "elu": "{0} where {0} > 0, else alpha (e^{0} - 1)",
    "silu": "{0} / (1 + e^-{0})",
    "gelu": "{0} * P(N(0, 1) < {0})",
    "relu6": "min(6, max(0, {0}))",
    "softplus": "log(1 + e^{0})",
    "identity": "{0}",
}
_NORMS = "({0} - mean) / sqrt(variance + eps)"
_SUMS = "+-*/@"
_PLAIN = {"linear": "{w} {0}", "matmul": "{0} {w}", "__matmul__": "{0} {w}", "embedding": "{w}[{0}]"}


def formula(name: str, part: str, out: str, given: list[str], number: int, weights: int) -> str:
    """``z1 = w1 x + b1``: `out` from `given`, by the operation's spelled name and the part it plays."""
    first = given[0] if given else "x"
    w, b = f"w{number}", f"b{number}"
    if part == "layer" and weights:
        shape = _PLAIN.get(name) or ("{w} * {0}" if name.startswith("conv") else name + "({0}; {w})")
        right = shape.format(first, w=w)
        return f"{out} = {right}" + (f" + {b}" if weights == 2 and ("linear" in name or "conv" in name) else "")
    if part == "activation":
        inner = ", ".join(given)
        return f"{out} = {_ACTIVATIONS.get(name, name + '(' + inner + ')').format(first)}"
    if part == "norm":
        right = f"{name}({first})" if "rms" in name else _NORMS.format(first)
        scale, shift = (f"g{number or ''} ", f" + s{number or ''}") if weights == 2 else ("", "")
        return f"{out} = {scale}{right}{shift}"
    if part == "other" and name in _SUMS and len(given) == 2:
        return f"{out} = {given[0]} {name} {given[1]}"
    inner = ", ".join(given) or "..."
    return f"{out} = {name.replace('_', ' ')}({inner})"


def symbol_of_weight(name: str, part: str, number: int, shape: int, alone: bool) -> str:
    """w1 and b1 of a layer, g1 and s1 (scale, shift) of a norm; any other parameter keeps its own name."""
    last = name.rpartition(".")[2]
    letters = {("layer", "weight"): "w", ("layer", "bias"): "b", ("norm", "weight"): "g", ("norm", "bias"): "s"}
    letter = letters.get((part, last)) or ("w" if part == "layer" and alone and shape > 1 else "")
    return f"{letter}{number or ''}" if letter else f"{last}{number or ''}"


def back(symbol: str, users: list[tuple[str, str, str, int]]) -> str:
    """How dL/d(symbol) comes from the operations that use it: (name, part, what they gave, their number) each."""
    parts = [_share(symbol, *user) for user in users]
    return " + ".join(parts)


def back_to_weight(kind: str, part: str, weight: str, out: str, given: str) -> str:
    """How dL/d(weight) of a dense layer comes from dL/d(out); of several rows it is their sum."""
    if part != "layer" or kind.lower() != "linear":
        return ""
    return f"dL/d{out} {given}^T" if weight.startswith("w") else f"dL/d{out}"


def _share(symbol: str, name: str, part: str, out: str, number: int) -> str:
    after = f"dL/d{out}"
    if part == "layer" and name.lower() == "linear":
        return f"w{number}^T {after}"
    if part == "activation" and name.lower() not in ("softmax", "log_softmax", "glu"):
        return f"{after} * {out}'({symbol})"
    if part == "other" and name == "+":
        return after
    return f"{after} back through {name}"
