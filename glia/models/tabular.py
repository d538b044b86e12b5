"""Networks for tables: plain features for any body, and two ensembles that hold their own against boosted trees.

Each takes one raw float32 matrix (N, columns) as `TableFacts` describes it: categories as codes, NaN where missing.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import TableFacts
from glia.data.task import Task
from glia.models.piecewise import Numbers, PiecewiseEmbedding, PiecewiseLinear, number_columns, smooth_clip
from glia.seed import mix

ONE_HOT = 16  # categories with more levels get a learned vector
VECTOR = 8  # its size
# How far `folds` lets a number reach, in interquartile ranges: at the usual 3 the bend begins within the bulk of the
# rows, which few rows cannot make good (wine: a row in a hundred more is wrong).
REACH = 5.0


def combine(outputs: Tensor, kind: str, mask: Tensor | None = None) -> Tensor:
    """What members (N, K, C) say together (N, C): log of the mean softmax, logit of the mean sigmoid, or mean.

    kind: `Task.kind`. mask (N, K): which members count for a row (out-of-fold: those that never saw it); each row
    needs at least one.
    """
    if mask is None:
        mask = outputs.new_ones(outputs.shape[:2])
    mask = mask.to(outputs.dtype).unsqueeze(-1)
    if kind == "regress":
        return (outputs * mask).sum(1) / mask.sum(1)
    if kind == "classify":
        return (outputs.log_softmax(-1) + mask.log()).logsumexp(1) - mask.sum(1).log()
    yes, no = F.logsigmoid(outputs) + mask.log(), F.logsigmoid(-outputs) + mask.log()
    return yes.logsumexp(1) - no.logsumexp(1)


class Categories(nn.Module):
    """Category columns of a raw table (N, columns): one-hot up to `one_hot` levels, and the codes of the others.

    Code 0 (missing, rare, never seen) is all zeros, so that a level without training rows adds nothing of its own.
    """

    column: Tensor
    code: Tensor
    wide: Tensor
    first: Tensor
    levels: Tensor

    def __init__(self, facts: TableFacts, one_hot: int = ONE_HOT):
        super().__init__()
        narrow = [(c, code) for c, n in enumerate(facts.levels) if 0 < n <= one_hot for code in range(1, n)]
        wide = [(c, n) for c, n in enumerate(facts.levels) if n > one_hot]
        self.register_buffer("column", torch.tensor([c for c, _ in narrow], dtype=torch.int64))
        self.register_buffer("code", torch.tensor([code for _, code in narrow], dtype=torch.float32))
        self.register_buffer("wide", torch.tensor([c for c, _ in wide], dtype=torch.int64))
        sizes = [n for _, n in wide]
        self.register_buffer("first", torch.tensor([sum(sizes[:i]) for i in range(len(sizes))], dtype=torch.int64))
        self.register_buffer("levels", torch.tensor(sizes, dtype=torch.float32))
        self.width, self.wides, self.rows = len(narrow), len(wide), sum(sizes)

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """(N, `width`) float and (N, `wides`) int64 rows of one embedding table for all wide columns (`rows` long)."""
        hot = (table.index_select(1, self.column) == self.code).to(table.dtype)
        codes = table.index_select(1, self.wide)
        known = (codes >= 0) & (codes < self.levels)  # False for NaN as well
        return hot, torch.where(known, codes, 0.0).to(torch.int64) + self.first

    def vectors(self, size: int, generator: torch.Generator) -> nn.Parameter:
        """A fresh embedding table (`rows`, size): N(0, 1), zeros for code 0."""
        table = torch.empty(self.rows, size).normal_(generator=generator)
        table[self.first] = 0
        return nn.Parameter(table)


class TableFeatures(nn.Module):
    """Raw table (N, columns) to plain features (N, `width`) for any body: MLP, linear, or a module of the user's own.

    Numbers: robust z, smoothly clipped at 3, 0 where missing, or with `bend` > 0 a piecewise-linear embedding of that
    size; and a mark for gaps. Categories: one-hot up to `one_hot` levels, above that a learned vector of 8.
    """

    def __init__(
        self, facts: TableFacts, generator: torch.Generator | None = None, one_hot: int = ONE_HOT, bend: int = 0
    ):
        super().__init__()
        generator = generator or torch.Generator().manual_seed(mix("table features"))
        self.numbers = Numbers(facts)
        self.embedding = PiecewiseEmbedding(facts, generator, bend) if bend else None
        self.categories = Categories(facts, one_hot)
        self.vectors = self.categories.vectors(VECTOR, generator) if self.categories.wides else None
        numbers = self.embedding.width if self.embedding else self.numbers.width
        self.width = numbers + self.numbers.gaps + self.categories.width + VECTOR * self.categories.wides

    def forward(self, table: Tensor) -> Tensor:
        z, gaps = self.numbers(table)
        hot, rows = self.categories(table)
        parts = [self.embedding(z) if self.embedding else smooth_clip(z), gaps, hot]
        if self.vectors is not None:
            parts.append(F.embedding(rows, self.vectors).flatten(1))
        return torch.cat(parts, 1)


class ByteDropout(nn.Dropout):
    """Dropout whose coins are random bytes, so its share is a multiple of 1/256: on a CPU 2.5 times as fast as torch's,
    which is a fifth of a training step of `TabM`."""

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * 256)  # bytes that mean "dropped"
        if not self.training or x.is_cuda or not 0 < dropped < 256:
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        coins = words.view(torch.uint8)[: x.numel()].view(x.shape)
        return x * (coins >= dropped).to(x.dtype).mul_(256 / (256 - dropped))


class Ensemble(nn.Module, ABC):
    """Members in one module: (N, K, outputs) in training, one combined answer (N, outputs) in eval mode."""

    kind: str

    @abstractmethod
    def members(self, table: Tensor) -> Tensor:
        """(N, K, outputs) of every member."""

    def forward(self, table: Tensor) -> Tensor:
        outputs = self.members(table)
        return outputs if self.training else combine(outputs, self.kind)


class TabM(Ensemble):
    """TabM-mini: members share all weights but a scaling of the input and the head.

    Source: Gorishniy et al., TabM (2410.24210), section 3. Numbers come in piecewise-linear embeddings.
    """

    def __init__(
        self,
        facts: TableFacts,
        task: Task,
        generator: torch.Generator,
        members: int,
        layers: Sequence[int],
        dropout: float,
        size: int,
    ):
        super().__init__()
        self.kind = task.kind
        self.features = TableFeatures(facts, generator, bend=size)
        width = self.features.width
        self.scaling = nn.Parameter(torch.empty(members, width).normal_(generator=generator))
        body: list[nn.Module] = []
        for out in layers:
            body += [_linear(width, out, generator), nn.ReLU(), ByteDropout(dropout)]
            width = out
        self.body = nn.Sequential(*body)
        self.head = nn.Parameter(_uniform((members, width, task.outputs), width, generator))
        self.head_bias = nn.Parameter(_uniform((members, 1, task.outputs), width, generator))

    def members(self, table: Tensor) -> Tensor:
        x = self.features(table)
        h: Tensor = self.body((x * self.scaling.unsqueeze(1)).flatten(0, 1))  # (K * N, width)
        h = h.unflatten(0, (len(self.scaling), -1))
        outputs: Tensor = torch.baddbmm(self.head_bias, h, self.head).transpose(0, 1)  # (N, K, outputs)
        return outputs


class Skip(nn.Module):
    """A linear model a member, zero at the start: (N, width) to (K, N, outputs)."""

    def __init__(self, width: int, members: int, outputs: int):
        super().__init__()
        self.members = members
        self.weight = nn.Parameter(torch.zeros(width, members * outputs))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = (x @ self.weight).unflatten(1, (self.members, -1)).transpose(0, 1)
        return outputs


class Folds(Ensemble):
    """Independent small networks side by side, each kept from one fold of the rows, each beside a linear model.

    Member j never trains on fold j mod `folds` (the training step sees to it), so the members that never saw a row
    give an honest answer for it, and no row is lost to validation. Nothing that learns is shared between members.
    """

    folds = 5
    param_lr = {"skip": 5.0}  # prefix of parameter names -> factor on the learning rate

    low: Tensor
    high: Tensor
    reach: Tensor

    def __init__(
        self,
        facts: TableFacts,
        task: Task,
        generator: torch.Generator,
        members: int,
        layers: Sequence[int],
        dropout: float,
        bins: bool,
    ):
        super().__init__()
        self.kind = task.kind
        self.count = members
        self.numbers = Numbers(facts)
        self.pieces = PiecewiseLinear(facts) if bins else None
        self.categories = Categories(facts)
        self._span(facts)
        plain = self.numbers.width + self.numbers.gaps + self.categories.width
        bent = self.pieces.width if self.pieces else 0
        fan_in = plain + VECTOR * self.categories.wides
        self.vectors = self.categories.vectors(members * VECTOR, generator) if self.categories.wides else None
        first = layers[0]
        start = _uniform((plain, members * first), fan_in, generator)
        # Zeros for the bins: each member starts smooth in the numbers, and bends only where the rows ask for it.
        self.first = nn.Parameter(torch.cat([start, torch.zeros(bent, members * first)]))
        self.first_bias = nn.Parameter(_uniform((members * first,), fan_in, generator))
        if self.vectors is not None:
            vector_width = VECTOR * self.categories.wides
            self.first_vectors = nn.Parameter(_uniform((members, vector_width, first), fan_in, generator))
        shapes = list(zip(layers, layers[1:]))
        self.weights = nn.ParameterList(_uniform((members, i, o), i, generator) for i, o in shapes)
        self.biases = nn.ParameterList(_uniform((members, 1, o), i, generator) for i, o in shapes)
        self.head = nn.Parameter(torch.zeros(members, layers[-1], task.outputs))
        self.head_bias = nn.Parameter(torch.zeros(members, 1, task.outputs))
        self.dropout = ByteDropout(dropout)
        self.skip = Skip(plain, members, task.outputs)

    def _span(self, facts: TableFacts) -> None:
        """The training range in robust z, for the linear path: nothing reaches beyond it, and its largest size is 4."""
        columns = number_columns(facts)
        ends = [[(end[c] - facts.median[c]) / facts.scale[c] for c in columns] for end in (facts.low, facts.high)]
        low, high = torch.tensor(ends, dtype=torch.float32)
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        largest = torch.maximum(low.abs(), high.abs())
        self.register_buffer("reach", torch.where(largest > 0, 4 / largest, 1.0))

    def members(self, table: Tensor) -> Tensor:
        z, gaps = self.numbers(table)
        hot, rows = self.categories(table)
        parts = [smooth_clip(z, REACH), gaps, hot]
        if self.pieces is not None:
            parts.append(self.pieces(z))
        h = torch.addmm(self.first_bias, torch.cat(parts, 1), self.first)
        h = h.unflatten(1, (self.count, -1)).transpose(0, 1)  # (K, N, width)
        if self.vectors is not None:
            vectors = F.embedding(rows, self.vectors).unflatten(2, (self.count, VECTOR))  # (N, wides, K, 8)
            h = torch.baddbmm(h, vectors.permute(2, 0, 1, 3).flatten(2), self.first_vectors)
        h = self.dropout(h.relu())
        for weight, bias in zip(self.weights, self.biases):
            h = self.dropout(torch.baddbmm(bias, h, weight).relu())
        line = torch.clamp(z, self.low, self.high) * self.reach
        outputs: Tensor = torch.baddbmm(self.head_bias, h, self.head) + self.skip(torch.cat([line, gaps, hot], 1))
        return outputs.transpose(0, 1)  # (N, K, outputs)


def tabm(
    facts: TableFacts,
    task: Task,
    generator: torch.Generator,
    members: int = 8,
    width: int = 256,
    depth: int = 2,
    dropout: float = 0.1,
    hidden: Sequence[int] | None = None,
) -> TabM:
    """The default for 1,000 rows and more. `hidden` (one width a layer) stands in for `width` and `depth`."""
    columns = len(number_columns(facts))
    size = max(1, min(16, 2048 // max(columns, 1)))  # very wide tables get shorter vectors
    return TabM(facts, task, generator, members, list(hidden or [width] * depth), dropout, size)


def folds(
    facts: TableFacts,
    task: Task,
    generator: torch.Generator,
    members: int = 10,
    width: int = 64,
    depth: int = 2,
    dropout: float = 0.3,
    hidden: Sequence[int] | None = None,
) -> Folds:
    """The default for fewer rows. Members should be a multiple of 5, so that every fold is left out equally often."""
    bins = len(number_columns(facts)) <= 1000  # beyond that, bins would outweigh everything else
    return Folds(facts, task, generator, members, list(hidden or [width] * depth), dropout, bins)


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    """U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)): what torch.nn.Linear starts from."""
    bound = max(fan_in, 1) ** -0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    layer.weight = nn.Parameter(_uniform((outputs, inputs), inputs, generator))
    layer.bias = nn.Parameter(_uniform((outputs,), inputs, generator))
    return layer
