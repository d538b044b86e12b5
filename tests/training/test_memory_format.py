"""Pictures with their channels last: what convolutions meet, and the same training up to rounding."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import glia
from glia.data.batches import Batches
from glia.nn.layout import channels_last
from glia.runs.folder import RunFolder
from glia.training.feed import folds_pictures, moved
from glia.training.loop import fit

ROWS, CPU = 96, torch.device("cpu")


def pictures(channels: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, channels, 9, 8, generator=drawn), torch.randint(3, (ROWS,), generator=drawn)


def network(channels: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)
        return nn.Sequential(*body, nn.Flatten(), nn.Dropout(0.1), nn.Linear(80, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_stay_and_strides_say_that_channels_come_last(channels: int) -> None:
    x, _ = pictures(channels)
    for given in (x, x.transpose(2, 3), x.contiguous(memory_format=torch.channels_last), x.requires_grad_()):
        made = channels_last(given)
        assert torch.equal(made, given) and made.stride()[1] == 1
        out = network(channels)[0](made)
        assert out.is_contiguous(memory_format=torch.channels_last)  # as the layers after it get it
    made.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_only_pictures_of_floats_are_laid() -> None:
    x, y = pictures(3)
    batch = {"x": x, "mask": x[:, 0], "raw": x.byte(), "y": y}
    laid = moved(batch, CPU, torch.channels_last)
    assert laid["x"].stride()[1] == 1 and all(laid[name] is batch[name] for name in ("mask", "raw", "y"))
    assert folds_pictures(network(3), (x, y)) and not folds_pictures(nn.Linear(8, 2), (x, y))
    assert not folds_pictures(network(3), (x.byte(), y))  # the layer that makes floats of them lays them


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("loader", [False, True])
def test_training_is_the_same_up_to_rounding(channels: int, loader: bool) -> None:
    x, y = pictures(channels)
    data: Any = [*zip(x.split(16), y.split(16), strict=True)] if loader else Batches(x, y, torch.arange(ROWS))

    def train(memory_format: str) -> tuple[list[float], list[bool]]:
        model, met = network(channels), []
        model[3].register_forward_hook(lambda module, given, out: met.append(given[0].stride()[1] == 1))
        moments = fit(model, (data, data), epochs=2, batch_size=16, lr=0.01, memory_format=memory_format)
        return [moment.loss for moment in moments if moment.kind == "step"], met

    plain, met = train("contiguous")
    assert not any(met)
    last, met = train("channels_last")
    assert all(met) and len(met) > len(last)  # in validation too
    assert last == pytest.approx(plain, rel=1e-4) and plain[-1] < plain[0]


def test_a_training_that_was_cut_goes_on_bit_for_bit() -> None:
    x, y = pictures(3)
    data: Any = (Batches(x, y, torch.arange(ROWS)), None)
    asked: dict[str, Any] = {"epochs": 3, "batch_size": 16, "memory_format": "channels_last"}
    whole = network(3)
    moments = list(fit(whole, data, **asked))
    for moment in fit(network(3), data, **asked):
        if moment.step == 8:
            state = copy.deepcopy(moment.snapshot())
            break
    model = network(3)
    losses = [moment.loss for moment in fit(model, data, start=state, **asked)]
    assert losses == [moment.loss for moment in moments][-len(losses) :]
    assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))


def test_a_run_keeps_what_was_asked(tmp_path: Path) -> None:
    every = {"runs": tmp_path, "doctor": False, "baselines": False, "epochs": 1}
    for asked, kept in (("channels_last", "channels_last"), ("auto", "contiguous")):
        run = glia.train(data=pictures(3), model=network(3), memory_format=asked, **every)
        assert RunFolder.open(run.folder).recipe.train.memory_format == kept
