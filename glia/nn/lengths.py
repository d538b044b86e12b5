"""Rows of different lengths in one batch: how long each is, what lies past its end, and networks that must not see it.

The longest row sets the length L of the batch; shorter ones are filled up at the end, texts with a token `pad`, series
with NaN. A row of length 0 is allowed everywhere: means, maxima and states of nothing are 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.errors import GliaError


def lengths_of_tokens(tokens: Tensor, pad: int) -> Tensor:
    """tokens (N, L) -> int64 (N,): the place of the last token that is not `pad`, counted from 1."""
    return _last(tokens != pad)


def lengths_of_series(x: Tensor) -> Tensor:
    """x (N, L, C) -> int64 (N,): up to the last step that has a number in any channel. Gaps inside a row count."""
    return _last(~torch.isnan(x).all(2))


def _last(there: Tensor) -> Tensor:
    return (there * torch.arange(1, there.shape[1] + 1, device=there.device)).amax(1)


def mask(lengths: Tensor, longest: int) -> Tensor:
    """lengths (N,) -> bool (N, longest): True where the row has something."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """x (N, L, H), mask (N, L) -> (N, H): the mean over the places where the mask is True; 0 where there is none."""
    return emptied(x, mask).sum(1) / mask.sum(1, keepdim=True).clamp_min(1).to(x.dtype)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """x (N, L, H), mask (N, L) -> (N, H): the largest over the places where the mask is True; 0 where there is none."""
    most = x.masked_fill(~mask[..., None], float("-inf")).amax(1)
    return most.masked_fill(~mask.any(1, keepdim=True), 0.0)


def emptied(x: Tensor, mask: Tensor) -> Tensor:
    """x (N, L, H) with 0 where the mask (N, L) is False, whatever stood there: NaN reaches no gradient."""
    return x.masked_fill(~mask[..., None], 0.0)


def backwards(x: Tensor, lengths: Tensor) -> Tensor:
    """x (N, L, ...) with each row's first `lengths` places in the opposite order; what lies past the end stays."""
    place = torch.arange(x.shape[1], device=x.device)
    turned = lengths[:, None] - 1 - place
    source = torch.where(turned >= 0, turned, place)
    return x.gather(1, source.reshape(*source.shape, *[1] * (x.ndim - 2)).expand_as(x))


def last(x: Tensor, lengths: Tensor) -> Tensor:
    """x (N, L, H) -> (N, H): what stands at the last place of each row; 0 for a row of length 0."""
    place = (lengths - 1).clamp_min(0)[:, None, None].expand(-1, 1, x.shape[2])
    return x.gather(1, place).squeeze(1).masked_fill(lengths[:, None] == 0, 0.0)


def run_packed(rnn: nn.RNNBase, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """What torch's RNN, LSTM or GRU makes of each row alone, for a whole batch of rows of different lengths.

    rnn: batch_first; any number of layers, one direction or two. x (N, L, C), lengths (N,) on the same device.
    Returns the outputs (N, L, H), 0 past the end of each row, and the last layer's state after each row (N, H), with
    two directions joined as forward, backward; H is hidden (or projection) size times directions.

    One direction needs no packing: what lies past the end cannot reach what is before it. With two, every row is turned
    within its own length, and each direction of each layer is a pass of its own. That is exact, can be exported, and on
    CPUs no slower than packing (an LSTM trains in a third of the time). Only on GPUs, where cuDNN takes packed rows and
    all layers at once, are rows packed, and not while a graph is made of the network (torch.export, torch.compile).
    """
    if not rnn.batch_first:
        raise GliaError(f"run_packed of an {type(rnn).__name__}", got="batch_first=False", expected="batch_first=True")
    here = mask(lengths, x.shape[1])
    x = emptied(x, here)
    if not rnn.bidirectional:
        outputs = emptied(rnn(x)[0], here)
        return outputs, last(outputs, lengths)
    outputs = (_packed if _packs(x) else _turned)(rnn, x, lengths, here)
    forward, backward = outputs.chunk(2, 2)
    return outputs, torch.cat((last(forward, lengths), backward[:, 0]), 1)


def _packs(x: Tensor) -> bool:
    return x.is_cuda and not torch.compiler.is_compiling()


def _packed(rnn: nn.RNNBase, x: Tensor, lengths: Tensor, here: Tensor) -> Tensor:
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False)
    outputs, _ = nn.utils.rnn.pad_packed_sequence(rnn(packed)[0], batch_first=True, total_length=x.shape[1])
    return emptied(outputs, here)


def _turned(rnn: nn.RNNBase, x: Tensor, lengths: Tensor, here: Tensor) -> Tensor:
    """Both directions of every layer by passes in one direction."""
    weights = rnn.all_weights  # of each layer and direction
    for layer in range(rnn.num_layers):
        forward = _pass(rnn, x, weights[2 * layer])
        backward = backwards(_pass(rnn, backwards(x, lengths), weights[2 * layer + 1]), lengths)
        x = torch.cat((forward, backward), 2)
        if layer + 1 < rnn.num_layers:
            x = F.dropout(x, rnn.dropout, rnn.training)
    return emptied(x, here)


def _pass(rnn: nn.RNNBase, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """One layer in one direction with these weights, from a state of zeros."""
    size = rnn.proj_size or rnn.hidden_size
    state = x.new_zeros(1, x.shape[0], size)
    how = (list(weights), rnn.bias, 1, 0.0, rnn.training, False, True)  # layers, dropout, training, both ways, batch
    if rnn.mode == "LSTM":
        outputs: Tensor = torch.lstm(x, (state, x.new_zeros(1, x.shape[0], rnn.hidden_size)), *how)[0]
    elif rnn.mode == "GRU":
        outputs = torch.gru(x, state, *how)[0]
    else:
        outputs = (torch.rnn_tanh if rnn.mode == "RNN_TANH" else torch.rnn_relu)(x, state, *how)[0]
    return outputs
