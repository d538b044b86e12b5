"""Averaged weights against torch's own averages and a plain loop; swapping and saving are exact."""

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from glia.errors import GliaError
from glia.optim.average import Average, exponential, mean_from, plain_mean


def network() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


def move(model: nn.Module, step: int) -> None:
    """As an optimizer step would; the buffers move too."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model(torch.randn(4, 2, 4, 4, generator=generator))


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_constant_decay_is_torchs_ema() -> None:
    model = network()
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.update_parameters(model)  # torch's first call copies
    ours = Average(model, lambda updates: 0.9)
    for step in range(6):
        move(model, step)
        ours.update()
        theirs.update_parameters(model)
    for mean, (name, expected) in zip(ours.state_dict()["weights"].values(), theirs.module.named_parameters()):
        torch.testing.assert_close(mean, expected.detach(), msg=name)


def test_the_decay_warms_up() -> None:
    model = network()
    average = Average(model, 0.3)
    mean = {name: p.detach().double() for name, p in model.named_parameters()}
    for step in range(8):
        move(model, step)
        average.update()
        decay = min(0.3, (1 + step) / (10 + step))
        mean = {name: decay * mean[name] + (1 - decay) * p.detach().double() for name, p in model.named_parameters()}
    for name, value in average.state_dict()["weights"].items():
        torch.testing.assert_close(value.double(), mean[name], rtol=1e-5, atol=1e-6)
    assert exponential(0.999)(0) == 0.1 and exponential(0.999)(10**6) == 0.999


def test_the_plain_mean_is_the_mean_and_leaves_the_start_out() -> None:
    model = network()
    average = Average(model, plain_mean)
    seen: list[dict[str, Tensor]] = []
    for step in range(5):
        move(model, step)
        average.update()
        seen.append(snapshot(model))
    for name, value in average.state_dict()["weights"].items():
        torch.testing.assert_close(value, torch.stack([one[name] for one in seen]).mean(0))


def test_the_plain_mean_is_torchs_swa() -> None:
    model = network()
    theirs, ours = AveragedModel(model), Average(model, plain_mean)
    for step in range(5):
        move(model, step)
        theirs.update_parameters(model)
        ours.update()
    for name, expected in theirs.module.named_parameters():
        torch.testing.assert_close(ours.state_dict()["weights"][name], expected.detach(), msg=name)


def test_the_mean_may_begin_late() -> None:
    model = network()
    average = Average(model, mean_from(3))
    seen: list[dict[str, Tensor]] = []
    for step in range(7):
        move(model, step)
        average.update()
        seen.append(snapshot(model))
        for name, value in average.state_dict()["weights"].items():
            expected = torch.stack([one[name] for one in seen[min(step, 3) :]]).mean(0)
            torch.testing.assert_close(value, expected)


def test_applied_swaps_weights_exactly_and_keeps_live_buffers() -> None:
    model = network()
    model[0].weight.data = model[0].weight.data.contiguous(memory_format=torch.channels_last)  # type: ignore[index]
    average = Average(model, 0.9)
    for step in range(4):
        move(model, step)
        average.update()
    live, places = snapshot(model), [p.data_ptr() for p in model.parameters()]
    with average.applied():
        inside = snapshot(model)
        assert places == [p.data_ptr() for p in model.parameters()]
        for name, value in average.state_dict()["weights"].items():
            assert torch.equal(inside[name], value) and not torch.equal(inside[name], live[name])
        for name, _ in model.named_buffers():
            assert torch.equal(inside[name], live[name])
        with pytest.raises(RuntimeError, match="inside applied"):
            average.update()
        with pytest.raises(RuntimeError, match="inside itself"), average.applied():
            pass
    assert equal(snapshot(model), live)
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert equal(snapshot(model), live)


def test_state_survives_a_file_bit_for_bit() -> None:
    straight, broken = network(), network()
    one, two = Average(straight, 0.99), Average(broken, 0.99)
    for step in range(3):
        for model, average in ((straight, one), (broken, two)):
            move(model, step)
            average.update()
    state = two.state_dict()
    resumed = Average(broken, 0.99)
    resumed.load_state_dict({"updates": state["updates"], "weights": load(save(state["weights"]))})
    for step in range(3, 6):
        for model, average in ((straight, one), (broken, resumed)):
            move(model, step)
            average.update()
    assert one.updates == resumed.updates == 6
    assert equal(one.state_dict()["weights"], resumed.state_dict()["weights"])


def test_half_precision_weights_are_averaged_in_float32() -> None:
    """In bfloat16 a share of 0.001 of a small change would round to nothing."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    nn.init.zeros_(model.weight)
    average = Average(model, lambda updates: 0.999)
    nn.init.ones_(model.weight)
    for _ in range(1000):
        average.update()
    [mean] = average.state_dict()["weights"].values()
    assert mean.item() == pytest.approx(1 - 0.999**1000, rel=1e-3)
    with average.applied():
        assert model.weight.item() == mean.to(torch.bfloat16).item()
    assert model.weight.item() == 1


def test_what_is_refused() -> None:
    with pytest.raises(GliaError, match="ema; got 1.0"):
        Average(network(), 1.0)
    average = Average(network(), 0.9)
    with pytest.raises(GliaError, match="another model.*first '0.bias'"):
        average.load_state_dict({"updates": 1, "weights": {}})
    wrong = {name: value[:1] for name, value in average.state_dict()["weights"].items()}
    with pytest.raises(GliaError, match=r"averaged weight 0.weight; got \(1, 2, 3, 3\)"):
        average.load_state_dict({"updates": 1, "weights": wrong})
    assert average.updates == 0
