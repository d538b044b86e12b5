"""Networks as text: a Sequential or a class, from the layers or the core that a program names."""

from exam.program import Program

ACTIVATIONS = {
    "relu": ("nn.ReLU()", "torch.relu({})"),
    "gelu": ("nn.GELU()", "F.gelu({})"),
    "tanh": ("nn.Tanh()", "torch.tanh({})"),
    "elu": ("nn.ELU()", "F.elu({})"),
    "silu": ("nn.SiLU()", "F.silu({})"),
    "leaky_relu": ("nn.LeakyReLU(0.1)", "F.leaky_relu({}, 0.1)"),
    "sigmoid": ("nn.Sigmoid()", "torch.sigmoid({})"),
    "softmax": ("nn.Softmax(dim=1)", "torch.softmax({}, dim=1)"),
    "log_softmax": ("nn.LogSoftmax(dim=1)", "F.log_softmax({}, dim=1)"),
    "softplus": ("nn.Softplus()", "F.softplus({})"),
    "hard": ("nn.Hardshrink(4.0)", "F.hardshrink({}, 4.0)"),
    "tanhshrink": ("nn.Tanhshrink()", "F.tanhshrink({})"),
    "clip": ("nn.Hardtanh(0.0, 1.0)", "{}.clamp(0, 1)"),
}


def model_text(p: Program) -> tuple[str, str]:
    """The class, empty where none is needed, and the lines that make `model`."""
    layers = [ACTIVATIONS[p.act][0] if layer == "@" else layer for layer in p.layers if layer != "@" or p.act]
    if p.form == "sequential" and p.core == "layers" and p.wrap == "plain" and not p.flat and not p.body_detached:
        if p.tail:
            layers.append(ACTIVATIONS[p.tail][0])
        return "", "model = nn.Sequential(\n" + "".join(f"    {layer},\n" for layer in layers) + ")"
    members, flow, width = _PARTS[p.core](p) if p.core != "layers" else _stack(p, layers)
    return _class(p, members, flow, width), "model = Net()"


def _stack(p: Program, layers: list[str]) -> tuple[list[str], list[str], str]:
    """Layers as a class: all but the last in one Sequential, or each a member that forward() calls."""
    head = layers[-1]
    if p.form in ("listed", "unlisted") and not p.body_detached:
        inner = "".join(f"            {layer},\n" for layer in layers[:-1])
        held = f"nn.ModuleList([\n{inner}        ])" if p.form == "listed" else f"[\n{inner}        ]"
        return [f"self.blocks = {held}"], ["h = x", "for block in self.blocks:", "    h = block(h)"], head
    if p.form != "functional" or p.body_detached:
        inner = "".join(f"            {layer},\n" for layer in layers[:-1])
        return [f"self.body = nn.Sequential(\n{inner}        )"], ["h = self.body(x)"], head
    members, flow, count, source = [], [], 0, "x"
    for layer in p.layers[:-1]:
        if layer == "@":
            if p.act:
                flow.append(f"h = {ACTIVATIONS[p.act][1].format(source)}")
        elif layer.startswith(("nn.Linear", "nn.Conv", "nn.BatchNorm", "nn.Dropout", "nn.LayerNorm")):
            count += 1
            members.append(f"self.layer{count} = {layer}")
            flow.append(f"h = self.layer{count}({source})")
        elif layer.startswith("nn.Flatten"):
            flow.append(f"h = {source}.flatten(1)")
        else:
            flow.append(f"h = {layer}({source})")
        source = "h"
    return members, flow or ["h = x"], head


def _recurrent(p: Program) -> tuple[list[str], list[str], str]:
    cell = p.core.upper()
    members, flow, size = _entry(p, "x")
    members.append(f"self.body = nn.{cell}({size}, {p.units}, batch_first=True)")
    flow.append(f"h, _ = self.body({'h' if flow else 'x'})")
    if p.data.task != "next":
        flow.append("h = h[:, -1]")
    return members + _drop(p, flow), flow, f"nn.Linear({p.units}, {p.outputs})"


def _transformer(p: Program) -> tuple[list[str], list[str], str]:
    length = p.data.shape[0]
    members, flow, _ = _entry(p, "x", p.units)
    members += [
        f"self.places = nn.Parameter(0.1 * torch.randn({length}, {p.units}))",
        f"layer = nn.TransformerEncoderLayer({p.units}, 4, {2 * p.units}, dropout={p.dropout}, batch_first=True)",
        "self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)",
    ]
    flow.append("h = h + self.places")
    if p.data.task == "next":
        members.append(f'self.register_buffer("ahead", torch.triu(torch.full(({length}, {length}), float("-inf")), 1))')
        flow.append("h = self.body(h, mask=self.ahead)")
    else:
        flow += ["h = self.body(h)", "h = h.mean(dim=1)"]
    return members, flow, f"nn.Linear({p.units}, {p.outputs})"


def _bag(p: Program) -> tuple[list[str], list[str], str]:
    members = [f"self.words = nn.EmbeddingBag({p.data.vocabulary}, 16)", f"self.body = nn.Linear(16, {p.units})"]
    flow = ["h = self.body(self.words(x))"]
    if p.act:
        flow.append(f"h = {ACTIVATIONS[p.act][1].format('h')}")
    return members + _drop(p, flow), flow, f"nn.Linear({p.units}, {p.outputs})"


def _towers(p: Program) -> tuple[list[str], list[str], str]:
    size, act = p.data.shape[0], ACTIVATIONS[p.act][0] if p.act else "nn.Identity()"
    half = size // 2
    members = [
        f"self.left = nn.Sequential(nn.Linear({half}, {p.units}), {act})",
        f"self.right = nn.Sequential(nn.Linear({size - half}, {p.units}), {act})",
        f"self.merge = nn.Sequential(nn.Linear({2 * p.units}, {p.units}), {act})",
    ]
    flow = [f"h = torch.cat([self.left(x[:, :{half}]), self.right(x[:, {half}:])], dim=1)", "h = self.merge(h)"]
    return members + _drop(p, flow), flow, f"nn.Linear({p.units}, {p.outputs})"


def _waves(p: Program) -> tuple[list[str], list[str], str]:
    act = ACTIVATIONS[p.act][0] if p.act else "nn.Identity()"
    channels = p.data.shape[1]
    members = [
        "self.body = nn.Sequential(\n"
        f"            nn.Conv1d({channels}, {p.units}, 5, padding=2),\n            {act},\n"
        f"            nn.Conv1d({p.units}, {p.units}, 5, padding=2),\n            {act},\n        )"
    ]
    flow = ["h = self.body(x.transpose(1, 2)).mean(dim=2)"]
    return members + _drop(p, flow), flow, f"nn.Linear({p.units}, {p.outputs})"


_PARTS = {
    "lstm": _recurrent,
    "gru": _recurrent,
    "rnn": _recurrent,
    "transformer": _transformer,
    "bag": _bag,
    "towers": _towers,
    "waves": _waves,
}


def _entry(p: Program, name: str, width: int = 16) -> tuple[list[str], list[str], int]:
    """Tokens are embedded. Numbers go in as they are, or through a linear layer where a width is fixed."""
    if p.data.vocabulary:
        return [f"self.words = nn.Embedding({p.data.vocabulary}, {width})"], [f"h = self.words({name})"], width
    channels = p.data.shape[1]
    if p.core == "transformer":
        return [f"self.lift = nn.Linear({channels}, {width})"], [f"h = self.lift({name})"], width
    return [], [], channels


def _drop(p: Program, flow: list[str]) -> list[str]:
    if not p.dropout:
        return []
    flow.append("h = self.drop(h)")
    return [f"self.drop = nn.Dropout({p.dropout})"]


def _class(p: Program, members: list[str], flow: list[str], head: str) -> str:
    if p.body_detached == "rows":
        flow = [*flow, "h = h.detach()"]
    elif p.body_detached == "block":
        flow = ["with torch.no_grad():", *(f"    {line}" for line in flow)]
    out = "self.head(h)"
    if p.tail:
        out = ACTIVATIONS[p.tail][1].format(out)
    if p.flat:
        out += ".squeeze(1)"
    takes, ending = "self, x", [f"return {out}"]
    if p.wrap == "dict":
        ending = [f'return {{"logits": {out}, "features": h}}']
    elif p.wrap == "tuple":
        ending = [f"return {out}, h"]
    elif p.wrap == "loss":
        takes = "self, x, y=None"
        members = [*members, p.loss_setup.replace("criterion", "self.criterion")] if p.loss_setup else members
        loss = p.loss.replace("criterion", "self.criterion")
        ending = [f"out = {out}", "if y is None:", "    return None, out", f"return {loss}, out"]
    inside = ["super().__init__()", *members, f"self.head = {head}"]
    lines = ["class Net(nn.Module):", "    def __init__(self):", *(f"        {line}" for line in inside), ""]
    return "\n".join([*lines, f"    def forward({takes}):", *(f"        {line}" for line in [*flow, *ending])])
