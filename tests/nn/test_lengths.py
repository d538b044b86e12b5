"""Rows of different lengths: a batch gives what each row gives alone, forwards and backwards."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from glia.errors import GliaError
from glia.nn import lengths as ln

LENGTHS = torch.tensor([5, 1, 7, 3])


def rows(longest: int = 7, channels: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random rows of LENGTHS, NaN past their ends."""
    x = torch.randn(len(LENGTHS), longest, channels, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return x.masked_fill(~ln.mask(LENGTHS, longest)[..., None], float("nan"))


class Reader(nn.Module):
    """A network that reads rows of different lengths."""

    def __init__(self, rnn: nn.RNNBase):
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return ln.run_packed(self.rnn, x, ln.lengths_of_series(x))


def test_lengths_are_read_off_tokens_and_series() -> None:
    tokens = torch.tensor([[4, 5, 0, 0], [0, 3, 0, 2], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert ln.lengths_of_tokens(tokens, 0).tolist() == [2, 4, 0, 4]  # a pad inside a row belongs to the row
    x = rows()
    assert ln.lengths_of_series(x).tolist() == LENGTHS.tolist()
    x[0, 2] = float("nan")  # a gap
    x[2, 6, 0] = float("nan")  # one channel is missing at the end
    assert ln.lengths_of_series(x).tolist() == LENGTHS.tolist()
    assert ln.mask(torch.tensor([0, 2]), 3).tolist() == [[False, False, False], [True, True, False]]


def test_means_and_maxima_are_of_what_is_there() -> None:
    x = rows()
    here = ln.mask(LENGTHS, 7)
    for i, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(ln.masked_mean(x, here)[i], x[i, :length].mean(0))
        torch.testing.assert_close(ln.masked_max(x, here)[i], x[i, :length].amax(0))
    nothing = torch.zeros(4, 7, dtype=torch.bool)
    assert (ln.masked_mean(x, nothing) == 0).all() and (ln.masked_max(x, nothing) == 0).all()


def test_backwards_turns_each_row_within_its_length() -> None:
    x = torch.tensor([[1, 2, 3, 9], [1, 9, 9, 9], [9, 9, 9, 9]])
    turned = ln.backwards(x, torch.tensor([3, 1, 0]))
    assert turned.tolist() == [[3, 2, 1, 9], [1, 9, 9, 9], [9, 9, 9, 9]]


KINDS = [
    (nn.RNN, {}),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.GRU, {"bias": False}),
    (nn.LSTM, {}),
    (nn.LSTM, {"proj_size": 2}),
]


@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("kind", "options"), KINDS, ids=["rnn", "rnn-relu", "gru", "lstm", "lstm-projected"])
@pytest.mark.parametrize("packs", [False, True], ids=["turned", "packed"])
def test_a_padded_batch_gives_what_its_rows_give_alone(
    packs: bool,
    kind: type[nn.RNNBase],
    options: dict[str, Any],
    layers: int,
    both: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ln, "_packs", lambda x: packs)
    torch.manual_seed(0)
    rnn = kind(3, 4, layers, batch_first=True, bidirectional=both, **options).double()  # type: ignore[arg-type]
    x = rows().requires_grad_()
    outputs, state = ln.run_packed(rnn, x, LENGTHS)
    assert torch.isfinite(outputs).all()
    outputs.square().sum().add(state.sin().sum()).backward()
    together, gradient = [p.grad.clone() for p in rnn.parameters() if p.grad is not None], x.grad
    rnn.zero_grad()
    for i, length in enumerate(LENGTHS.tolist()):
        row = x.detach()[i : i + 1, :length].requires_grad_()
        alone, hidden = rnn(row)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        last = torch.cat(tuple(hidden[-2:]), 1) if both else hidden[-1]
        torch.testing.assert_close(outputs[i, :length], alone[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(state[i], last[0], atol=1e-12, rtol=0)
        assert (outputs[i, length:] == 0).all()
        alone.square().sum().add(last.sin().sum()).backward()
        assert gradient is not None and row.grad is not None
        torch.testing.assert_close(gradient[i, :length], row.grad[0], atol=1e-12, rtol=0)
        assert (gradient[i, length:] == 0).all()
    for mine, theirs in zip(together, rnn.parameters()):
        torch.testing.assert_close(mine, theirs.grad, atol=1e-10, rtol=0)


@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("packs", [False, True], ids=["turned", "packed"])
def test_an_empty_row_gives_zeros(packs: bool, both: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ln, "_packs", lambda x: packs)
    rnn = nn.GRU(3, 4, batch_first=True, bidirectional=both)
    outputs, state = ln.run_packed(rnn, torch.randn(2, 3, 3), torch.tensor([0, 3]))
    assert (outputs[0] == 0).all() and (state[0] == 0).all() and (state[1] != 0).any()


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_two_directions_are_exported_for_any_number_of_rows_and_lengths(kind: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    net = Reader(kind(3, 4, 2, batch_first=True, bidirectional=True)).eval()  # type: ignore[arg-type]
    rows_dim = torch.export.Dim("rows", min=2)
    exported = torch.export.export(net, (rows(dtype=torch.float32),), dynamic_shapes=({0: rows_dim},), strict=False)
    x = torch.randn(6, 7, 3)
    x[2, 4:] = float("nan")
    for mine, theirs in zip(exported.module()(x), net(x)):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)


def test_other_orders_of_the_batch_are_refused() -> None:
    with pytest.raises(GliaError, match="batch_first=True"):
        ln.run_packed(nn.GRU(3, 4), torch.randn(2, 3, 3), torch.tensor([1, 3]))
