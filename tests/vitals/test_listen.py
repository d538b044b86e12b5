"""Listening to loops that know nothing of it: the numbers stay the same, nothing stays behind, what is seen is true."""

import math
import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

import glia
from glia.vitals import layers as measured_layers
from glia.vitals import listen as listening
from glia.vitals.chart import Chart

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(128, 6, generator=GENERATOR)
Y = (X[:, 0] > 0).long()


def network(dropout: float = 0.0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(6, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(16, 16),
            nn.Tanh(),
            nn.Linear(16, 2),
        )


def own_loop(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 30) -> None:
    for step in range(steps):
        rows = slice(32 * (step % 4), 32 * (step % 4) + 32)
        optimizer.zero_grad()
        F.cross_entropy(model(X[rows]), Y[rows]).backward()
        optimizer.step()


def heard(steps: int = 30, model: nn.Module | None = None) -> Chart:
    model = model or network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    with glia.listen() as chart:
        own_loop(model, optimizer, steps)
    assert chart.notes == []
    return chart


def hooks() -> list[object]:
    return [
        nn.Module.__call__,
        torch.autograd.backward,
        torch.Tensor.backward,
        *(list(getattr(torch_module, name)) for name in ("_global_forward_hooks", "_global_forward_pre_hooks")),
        *(
            list(getattr(torch_optimizer, name))
            for name in ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")
        ),
    ]


def test_the_weights_are_the_same_bit_for_bit_with_and_without_it():
    ends = []
    for listened in (False, True):
        model = network(dropout=0.3)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            if listened:
                with glia.listen() as chart:
                    own_loop(model, optimizer, 50)
                assert len(chart.layers) >= listening.FIRST_STEPS * 7 and not chart.notes
            else:
                own_loop(model, optimizer, 50)
            ends.append([*model.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


class Own(torch.optim.SGD):
    """An optimiser of somebody's own, which leaves the work to its parent."""

    def step(self, closure=None):
        return super().step(closure)


def test_a_step_within_a_step_counts_once():
    plain, model = network(), network()
    own_loop(plain, torch.optim.SGD(plain.parameters(), lr=0.1), steps=1)  # torch hooks a class when one is made
    with glia.listen() as chart:
        own_loop(model, Own(model.parameters(), lr=0.1), steps=10)
    assert chart.loop.steps == len(chart.steps) == 10


def test_nothing_stays_behind_even_after_an_error():
    before = hooks()
    with pytest.raises(KeyError), glia.listen():
        own_loop(model := network(), torch.optim.SGD(model.parameters(), 0.1), 3)
        raise KeyError
    assert hooks() == before


def test_steps_hold_what_the_loop_saw():
    model, losses, norms = network(), [], []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen() as chart:
        for step in range(10):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X), Y)
            loss.backward()
            losses.append(loss.item())
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), math.inf).item())
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.step()
    assert [step.loss for step in chart.steps] == losses
    assert [step.step for step in chart.steps] == list(range(10))
    assert [step.grad_norm for step in chart.steps] == pytest.approx(norms, rel=1e-5)
    assert [step.lr for step in chart.steps] == [0.1 / (step + 1) for step in range(10)]
    assert [step.carried for step in chart.steps] == [None] + [False] * 9


def test_layers_hold_what_their_modules_gave():
    model = network()
    seen: dict[str, Tensor] = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, a, out, name=name: seen.update({name: out.detach()}))
    before = [p.detach().clone() for p in model[0].parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen(capture=False) as chart:
        own_loop(model, optimizer, 1)
    layers = {layer.module: layer for layer in chart.layers}
    assert list(layers) == ["0", "1", "2", "3", "4", "5", "6"]
    assert layers["2"].kind == "ReLU" and layers["2"].output.zeros == pytest.approx(
        (seen["2"] == 0).float().mean().item()
    )
    assert layers["4"].output.std == pytest.approx(seen["4"].std(correction=0).item(), rel=1e-5)
    assert layers["4"].input.mean == pytest.approx(seen["3"].mean().item(), rel=1e-5)
    own = list(model[0].parameters())
    grad = math.sqrt(sum(p.grad.square().sum().item() for p in own))
    assert layers["0"].grad_norm == pytest.approx(grad, rel=1e-5)
    was = math.sqrt(sum(p.square().sum().item() for p in before))
    assert layers["0"].update_ratio == pytest.approx(0.1 * grad / was, rel=1e-4)
    assert math.isnan(layers["2"].weight_norm) and math.isnan(layers["2"].update_ratio)


def test_facts_of_model_batch_loss_and_optimizer():
    chart = heard()
    model, optimizer, loss = chart.models[0], chart.optimizers[0], chart.losses[0]
    assert (model.kind, len(model.modules), sum(p.size for p in model.parameters)) == (
        "Sequential",
        8,
        112 + 32 + 272 + 34,
    )
    assert all(p.trainable and p.in_optimizer and p.called and p.graded == model.measured for p in model.parameters)
    assert (optimizer.kind, optimizer.options["lr"], optimizer.options["momentum"]) == ("SGD", 0.1, 0.9)
    assert (loss.kind, loss.classes, loss.outputs, loss.path) == ("cross_entropy", 2, 2, ())
    assert chart.batches[0].shape == (32, 6)
    assert chart.batches[0].inputs.mean == pytest.approx(X[:32].mean().item(), abs=1e-5)
    assert chart.backwards == 30


def test_parameters_that_are_left_out_are_named():
    model = network()
    model[4].requires_grad_(False)
    optimizer = torch.optim.SGD([*model[0].parameters(), *model[4].parameters()], 0.1)
    with glia.listen() as chart:
        own_loop(model, optimizer, 5)
    facts = {p.name: p for p in chart.models[0].parameters}
    assert (facts["0.weight"].in_optimizer, facts["6.weight"].in_optimizer) == (True, False)
    assert (facts["4.weight"].trainable, facts["4.weight"].graded) == (False, 0)


def test_gradients_that_are_carried_over_are_seen_and_accumulation_is_not_that():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with glia.listen() as dirty:
        for _ in range(5):
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()
    with glia.listen() as clean:
        for step in range(15):
            (F.cross_entropy(model(X), Y) / 3).backward()
            if step % 3 == 2:
                optimizer.step()
                optimizer.zero_grad(set_to_none=step % 2 == 0)
    assert [step.carried for step in dirty.steps] == [None, True, True, True, True]
    assert [step.carried for step in clean.steps][1:] == [False] * 4
    assert [step.backwards for step in clean.steps] == [3] * 5


@pytest.mark.parametrize("capture", [False, True])
def test_measuring_becomes_rare_and_calls_are_no_longer_watched(monkeypatch, capture):
    monkeypatch.setattr(listening, "BUDGET", 0.0)
    original = nn.Module.__call__
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen(capture=capture) as chart:
        assert nn.Module.__call__ is not original
        with torch.no_grad():
            model(X)
        own_loop(model, optimizer, 30)
        with torch.no_grad():
            model(X)
        own_loop(model, optimizer, 1)
        assert nn.Module.__call__ is original
        own_loop(model, optimizer, 70)
    assert sorted({layer.step for layer in chart.layers}) == [*range(listening.FIRST_STEPS), 24, 48, 96]
    assert len(chart.steps) == 101 and not math.isnan(chart.steps[-1].loss)
    assert math.isnan(chart.steps[50].grad_norm) and chart.steps[48].grad_norm > 0


def test_a_long_run_stays_small(monkeypatch):
    monkeypatch.setattr(listening, "MOST_LINES", 50)
    monkeypatch.setattr(listening, "MOST_MEASURED", 8)
    monkeypatch.setattr(listening, "BUDGET", 1.0)
    chart = heard(300)
    assert 25 <= len(chart.steps) <= 51 and [step.step for step in chart.steps[:12]] == list(range(12))
    assert chart.steps[-1].step > 250
    assert len({layer.step for layer in chart.layers}) <= 8 and {layer.step for layer in chart.layers} >= {0, 299}
    assert {batch.step for batch in chart.batches} == {layer.step for layer in chart.layers}


def test_validation_is_not_taken_for_training():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen() as chart:
        for _ in range(5):
            own_loop(model, optimizer, 1)
            with torch.no_grad():
                model(X * 100)
            model(X * 100)  # and once by somebody who forgot no_grad
    assert all(batch.inputs.high < 10 for batch in chart.batches)
    assert len(chart.batches) == 5


def test_two_optimisers_are_told_apart():
    first, second = network(), network()
    optimizers = torch.optim.SGD(first.parameters(), 0.1), torch.optim.Adam(second.parameters(), 0.1)
    with glia.listen() as chart:
        for _ in range(4):
            for model, optimizer in zip((first, second), optimizers):
                own_loop(model, optimizer, 1)
    assert [step.optimizer for step in chart.steps] == [0, 1] * 4
    assert [facts.kind for facts in chart.optimizers] == ["SGD", "Adam"]
    assert [step.carried for step in chart.steps][2:] == [False] * 6
    assert len(chart.models) == 2 and all(p.graded for m in chart.models for p in m.parameters)


def test_closures_are_heard():
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        return loss

    with glia.listen() as chart:
        for _ in range(3):
            optimizer.step(closure)
    assert len(chart.steps) == 3 and all(step.backwards >= 2 and step.loss > 0 for step in chart.steps)
    assert not chart.notes and glia.examine(chart) == []


class Keyword(nn.Module):
    """Takes a keyword, gives a dict, works out its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, *, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.inner(inputs)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def test_models_that_take_keywords_and_give_their_own_loss():
    model = Keyword()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen() as chart:
        for _ in range(3):
            optimizer.zero_grad()
            torch.autograd.backward(model(inputs=X, labels=Y)["loss"])
            optimizer.step()
    assert chart.batches[0].shape == (128, 6) and chart.losses[0].kind == "cross_entropy"
    assert chart.layers[0].module == "inner.0" and not chart.notes


def test_parts_that_are_called_one_by_one_are_all_measured():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen() as chart:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model[4:](model[:4](X)), Y).backward()
            optimizer.step()
    assert [layer.kind for layer in chart.layers if layer.step == 2] == [type(layer).__name__ for layer in model]
    assert {batch.shape for batch in chart.batches} == {(128, 6)}
    assert len(chart.models) == 2  # though six modules were made


def test_a_module_that_is_called_again_and_again_is_measured_once():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.RNNCell(1, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 8)
            for t in range(x.shape[1]):
                h = self.cell(x[:, t : t + 1], h)
            return self.head(h)

    chart = heard(3, Recurrent())
    assert [layer.module for layer in chart.layers if layer.step == 1] == ["cell", "head"]


@pytest.mark.filterwarnings("ignore:Using `torch.compile")
def test_a_compiled_model_is_trained_as_ever():
    model = network()
    compiled = torch.compile(model, backend="eager")
    chart = heard(25, compiled)
    assert (
        len(chart.steps) == 25 and {p.name for p in chart.models[0].parameters} == dict(model.named_parameters()).keys()
    )


def test_whatever_goes_wrong_in_listening_does_not_reach_the_loop(monkeypatch):
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(measured_layers, "spread", broken)
    model = network()
    with glia.listen() as chart:
        own_loop(model, torch.optim.SGD(model.parameters(), 0.1), 5)
    assert chart.notes == ["listening ended at step 0: ZeroDivisionError: inside"]
    wanted = network()
    own_loop(wanted, torch.optim.SGD(wanted.parameters(), 0.1), 5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), wanted.parameters(), strict=True))


def test_other_threads_are_not_listened_to():
    with glia.listen() as chart:
        thread = threading.Thread(target=lambda: own_loop(m := network(), torch.optim.SGD(m.parameters(), 0.1), 3))
        thread.start()
        thread.join()
    assert chart.steps == [] and chart.models == [] and chart.notes == []


def test_one_listener_inside_another():
    before = hooks()
    with glia.listen() as outer:
        inner = heard(5)
        heard(5)
    assert len(inner.steps) == 5 and len(outer.steps) == 10 and outer.backwards == 10
    assert hooks() == before


def test_a_loss_whose_tensors_were_changed_in_place_is_noted_and_the_loop_goes_its_way():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen() as chart:
        for _ in range(3):
            optimizer.zero_grad()
            targets = torch.zeros(128, 2)
            loss = F.mse_loss(model(X), targets)
            targets.add_(1)
            with pytest.raises(RuntimeError, match="inplace"):
                loss.backward()
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()
    assert len(chart.notes) == 1 and "could not be read" in chart.notes[0]
    assert len(chart.steps) == 3 and chart.losses[0].kind == "cross_entropy"


@pytest.mark.parametrize(("clip", "limit"), [("clip_grad_norm_", "max_norm"), ("clip_grad_value_", "clip_value")])
@pytest.mark.parametrize("named", [False, True])
def test_clipping_is_heard_however_it_is_called(clip, limit, named):
    model, x = nn.Linear(3, 1), torch.ones(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen() as chart:
        for _ in range(3):
            optimizer.zero_grad()
            model(x).sum().backward()
            clipping = getattr(nn.utils, clip)  # as a script finds it while it is listened to
            clipping(model.parameters(), **{limit: 0.5}) if named else clipping(model.parameters(), 0.5)
            optimizer.step()
    assert chart.loop is not None and chart.loop.clip == 0.5
    assert not chart.notes


def test_what_an_activation_changes_in_place_is_measured_anew() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(inplace=True), nn.Linear(32, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with glia.listen() as chart:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()
    before, after, _ = (layer.output for layer in chart.layers[:3])
    assert before.low < 0 and before.zeros == 0
    assert after.low == 0 and after.zeros > 0.2
