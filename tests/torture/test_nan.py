"""NaN and infinities: small numbers of the experiment, and the single ways in which weights were lost to them."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import glia
from glia.data.batches import Batches
from glia.optim import clip
from glia.training.best import Best
from glia.training.loop import fit
from glia.training.nonfinite import NonFinite
from glia.training.steps import supervised
from torture.nan import run
from torture.poison_runs import PLACES, SETTINGS, Own, in_a_run, table, wrong


def rows(count: int = 40) -> Batches:
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(count))
    return Batches(x, x[:, :3].argmax(1), torch.arange(100, 100 + count))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def test_the_experiment(tmp_path: Path) -> None:
    found = run(52, tmp_path, lambda line: None)
    assert found.held, found.failed
    assert int(found.figures["ended by NonFinite"]) > 20


@pytest.mark.parametrize("place", PLACES)
def test_whole_runs(place: str, tmp_path: Path) -> None:
    said, ended = in_a_run(PLACES.index(place) + len(PLACES), tmp_path, seed=1)
    assert ended, said


@pytest.mark.parametrize("clipped", [None, 1.0])
@pytest.mark.parametrize("measure_every", [1, 100])
def test_one_bad_gradient_leaves_the_weights_alone(clipped: float | None, measure_every: int) -> None:
    """The loss is fine, and so are all gradients but one number: no weight may move."""
    model = network()

    def spoil(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[0, 1] = math.nan
        return gradient

    model[0].weight.register_hook(spoil)
    kept = {"clip": clipped, "measure_every": measure_every, "batch_size": 8}
    # The norm of step 0 is always measured: a run that goes on is at a later one.
    start: dict[str, Any] = {}
    for moment in fit(network(), rows(), **kept):
        start = copy.deepcopy(moment.snapshot())
        break
    with pytest.raises(NonFinite, match=r"the gradient of 0\.weight became nan at step 1.*1 of its 48 numbers") as seen:
        list(fit(model, rows(), start=start, **kept))
    assert len(seen.value.batch) == 8 and min(seen.value.batch) >= 100
    for name, now in model.state_dict().items():
        assert torch.equal(now, start["model"][name])


def test_gradients_whose_norm_overflows() -> None:
    step = supervised(lambda outputs, targets: outputs.sum() * 1e25)
    for measure_every in (1, 100):
        with pytest.raises(NonFinite, match="norm of all gradients became inf.*clip"):
            list(fit(network(), rows(), step=step, measure_every=measure_every))


def test_clipping_by_value_mends_an_infinity() -> None:
    model = network()
    model[2].bias.register_hook(lambda gradient: gradient * math.inf)
    by_value = clip.build("value", model, 0.1)
    assert list(fit(model, rows(), clip=by_value))[-1].last
    assert not list(wrong(model.state_dict()))


def test_infinities_by_design_are_left_alone() -> None:
    """A mask of -inf in a buffer is no accident; a NaN beside it is."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network()
            self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -math.inf]))
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.pad(self.layers(x), (0, 1)) + self.mask

    model = Masked()
    moments = list(fit(model, (rows(), rows(16)), epochs=2))
    assert moments[-1].snapshot() and moments[-1].best and moments[-1].figures["valid_accuracy"] > 0
    with pytest.raises(NonFinite, match="the buffer count became inf"):
        for _ in fit(model, (rows(), rows(16)), epochs=2):
            model.count.fill_(math.inf)
    assert model.count.item() == 0


def test_infinite_rows_of_a_network_that_hides_them() -> None:
    """An LSTM squashes an infinity: the loss is finite, the gradient is not. A batch norm keeps it for ever."""

    class Squashed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x.unsqueeze(1))[0][:, -1])

    data = rows()
    data.inputs[7, 2] = -math.inf  # type: ignore[index]
    with pytest.raises(NonFinite, match=r"the gradient of lstm.*hold infinities; in the source: rows \[107\]") as seen:
        list(fit(Squashed(), data, batch_size=40))
    assert seen.value.rows == [107]
    data.inputs[7, 2] = 1e30  # type: ignore[index]
    model = nn.Sequential(nn.BatchNorm1d(6), network())
    with pytest.raises(NonFinite, match=r"running figure 0\.running_var became inf.*in the source: rows \[107\]"):
        list(fit(model, data, batch_size=40))
    assert not list(wrong(model.state_dict()))


def test_figures_that_are_not_finite_are_never_the_best() -> None:
    best = Best("valid_accuracy", 3, higher_is_better=True)
    for epoch, figure in enumerate((math.nan, math.inf, 0.3, math.inf, math.nan, -math.inf)):
        assert best.update({"valid_accuracy": figure}, epoch, network()) is (figure == 0.3)
    assert best.epoch == 2 and best.exhausted
    loss = Best("valid_loss", 0)
    assert not loss.update({"valid_loss": -math.inf}, 0, network()) and not loss.weights


def test_the_accuracy_of_nan_is_nan() -> None:
    """The largest of three NaN is class 0, which is right for a third of the rows."""
    model, data = network(), rows(16)
    figures = []
    for moment in fit(model, (data, data), epochs=3, monitor="valid_accuracy", patience=5):
        if moment.kind == "epoch":
            figures.append((moment.figures["valid_accuracy"], moment.best))
            model.register_forward_hook(lambda module, args, out: out * math.nan if not module.training else out)
    assert math.isfinite(figures[0][0]) and figures[0][1]
    assert all(math.isnan(figure) and not best for figure, best in figures[1:])


def test_weights_that_were_given_as_nan_are_not_kept(tmp_path: Path) -> None:
    model = Own()
    with torch.no_grad():
        model.first.weight[0, 0] = math.nan
    with pytest.raises(NonFinite, match=r"the weights of first\.weight are not finite already"):
        glia.train(table(), target="label", model=model, runs=tmp_path, name="a", doctor=False, **SETTINGS)
    with pytest.raises(glia.GliaError, match="no model yet"):
        glia.open(tmp_path / "a", model=Own()).predict(table())


def test_the_second_look_after_a_bad_gradient(tmp_path: Path) -> None:
    """A square root at 0: the loss is finite, its gradient is not; cures are tried all the same."""

    class Rooted(Own):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            return out + (0.0 * out).sqrt() if self.training and self.calls() > 6 else out

        def calls(self) -> int:
            self.count = getattr(self, "count", 0) + 1
            return self.count

    settings = {**SETTINGS, "trial_time": 2.0, "doctor": True}
    with pytest.raises(NonFinite, match="the gradient of last"):
        glia.train(table(), target="label", model=Rooted(), runs=tmp_path, name="a", force=True, **settings)
    run = glia.open(tmp_path / "a")
    assert run.findings[0]["code"] == "GL302"
    assert not any("could not look" in note for note in run._folder.read_json("findings.json")["notes"])
