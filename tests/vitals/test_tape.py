"""Tapes: what a script does between its model and its loss is done again, to the same scalar and the same gradients."""

from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.vitals import tape as taping
from glia.vitals.capture import Capture
from glia.vitals.chart import Chart
from glia.vitals.listen import Listener, listening
from glia.vitals.tape import Call, Recorder, leaves, mapped

GENERATOR = torch.Generator().manual_seed(3)
X, Z = torch.randn(24, 5, generator=GENERATOR), torch.randn(24, 5, generator=GENERATOR)
LABELS = (X[:, 0] > 0).long() + (X[:, 1] > 0.5).long()
PAIRS = (X * Z).sum(1, keepdim=True).sign()
Pair = namedtuple("Pair", ["code", "scores"])


def network(outputs: int = 3) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs))


def captured(models: list[nn.Module], loss: Callable[..., Tensor]) -> tuple[Capture, float, list[Tensor | None]]:
    """One step of a script: what was kept, its loss and its gradients."""
    parameters = [p for model in models for p in model.parameters()]
    optimizer = torch.optim.SGD(parameters, 0.1)
    with listening(Listener(Chart(), True)) as listener:
        value = loss(*models)
        value.backward()
        optimizer.step()
    capturer = listener.capturer
    assert capturer is not None and not capturer.capture.broken
    return capturer.capture, value.item(), [None if p.grad is None else p.grad.clone() for p in parameters]


def replayed(capture: Capture) -> tuple[float, list[Tensor | None]]:
    """The same step by the copies, as the tape has it."""
    tape, models = capture.tape, capture.initial
    assert tape is not None
    given = [
        models[slot[1]].get_parameter(slot[2]) if slot[0] == "weight" else value
        for slot, value in zip(capture.slots, capture.batches[0], strict=True)
    ]
    value = tape.replay(given, lambda call, args, kwargs: models[call.root].get_submodule(call.path)(*args, **kwargs))
    value.backward()
    return value.item(), [p.grad for model in models for p in model.parameters()]


def same(capture: Capture, value: float, gradients: list[Tensor | None]) -> None:
    again, theirs = replayed(capture)
    assert again == pytest.approx(value, rel=1e-6)
    for one, other in zip(gradients, theirs, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def by_hand(model: nn.Module) -> Tensor:
    logits = model(X)
    logits = logits - logits.max(dim=1, keepdim=True).values
    log_p = logits - torch.log(torch.exp(logits).sum(1, keepdim=True))
    return -log_p[torch.arange(len(X)), LABELS].mean()


def penalised(model: nn.Module) -> Tensor:
    loss = F.cross_entropy(model(X), LABELS)
    return loss + 1e-2 * sum(p.abs().sum() for p in model.parameters())


def in_place(model: nn.Module) -> Tensor:
    out = model(X) * 1.0
    out[:, 0] = out[:, 0] * 2
    out.mul_(0.5).add_(0.1)
    return F.cross_entropy(out, LABELS)


def smoothed(model: nn.Module) -> Tensor:
    target = torch.full((24, 3), 0.05)
    target.scatter_(1, LABELS.unsqueeze(1), 0.9)
    return -(target * F.log_softmax(model(X), dim=-1)).sum(-1).mean()


def accumulated(model: nn.Module) -> Tensor:
    total = 0.0
    for rows in (slice(0, 8), slice(8, 24)):
        total = total + F.cross_entropy(model(X[rows]), LABELS[rows]) / 2
    return total


LOSSES: dict[str, Callable[[nn.Module], Tensor]] = {
    "by hand": by_hand,
    "with a penalty on the weights": penalised,
    "in place": in_place,
    "smoothed labels": smoothed,
    "two parts in one loss": accumulated,
    "divided": lambda model: F.cross_entropy(model(X), LABELS) / 4,
    "flipped": lambda model: -F.cross_entropy(model(X), LABELS),
    "a module": lambda model: nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))(model(X), LABELS),
    "one-hot": lambda model: F.mse_loss(model(X).softmax(1), F.one_hot(LABELS, 3).float()),
    "parts of the model": lambda model: F.cross_entropy(model[2](model[1](model[0](X))), LABELS),
    "a function of the weights alone": lambda model: (
        F.cross_entropy(model(X), LABELS) + F.linear(X, model[0].weight).square().mean()
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_done_again_with_its_gradients(name):
    same(*captured([network()], LOSSES[name]))


def test_one_model_that_is_called_twice():
    def siamese(model: nn.Module) -> Tensor:
        near = F.cosine_similarity(model(X), model(Z)).unsqueeze(1)
        return F.relu(0.5 - PAIRS * near).mean()

    capture, *seen = captured([network(4)], siamese)
    assert [call.function for call in capture.tape.calls] == [Call(0, "")] * 2
    same(capture, *seen)


def test_two_models_one_after_the_other():
    encoder, decoder = network(2), nn.Linear(2, 5)
    capture, *seen = captured([encoder, decoder], lambda e, d: F.mse_loss(d(e(X)), X))
    assert [call.function.root for call in capture.tape.calls] == [0, 1]
    same(capture, *seen)


@dataclass
class Answer:
    logits: Tensor
    name: str = "an answer"


class Nested(nn.Module):
    """Gives what a transformer gives: dicts, tuples and objects in each other."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.body, self.form = network(), form

    def forward(self, x: Tensor) -> Any:
        code = self.body[:2](x)
        scores = self.body[2](code)
        forms: dict[str, Any] = {
            "dict": {"code": code, "more": {"logits": [scores, None]}},
            "tuple": (code, (scores, 3)),
            "named": Pair(code, scores),
            "object": Answer(scores),
        }
        return forms[self.form]


@pytest.mark.parametrize(
    ("form", "pick"),
    [
        ("dict", lambda out: out["more"]["logits"][0]),
        ("tuple", lambda out: out[1][0]),
        ("named", lambda out: out.scores),
        ("object", lambda out: out.logits),
    ],
)
def test_outputs_within_each_other(form, pick):
    same(*captured([Nested(form)], lambda model: F.cross_entropy(pick(model(X)), LABELS)))


def test_labels_that_are_cut_and_cast_outside_the_model_are_given():
    raw = torch.stack([LABELS.double(), LABELS.double() * 0], 1)

    def loss(model: nn.Module) -> Tensor:
        labels = raw[:, 0].round().to(torch.int32).long()
        return F.cross_entropy(model(X[:, [0, 1, 2, 3, 4]] * 1.0), labels)

    capture, value, gradients = captured([network()], loss)
    assert [slot[0] for slot in capture.slots] == ["rows", "rows"]
    inputs, labels = capture.batches[0]
    assert torch.equal(inputs, X) and torch.equal(labels, LABELS)
    assert {op.name for op in capture.tape.operations} == {"call", "cross_entropy"}
    same(capture, value, gradients)


def test_weights_of_the_loss_are_slots_of_their_own():
    capture, *_ = captured([network()], penalised)
    slots = [slot for slot in capture.slots if slot[0] == "weight"]
    assert slots == [("weight", 0, name) for name, _ in network().named_parameters()]


def test_other_rows_go_the_same_way():
    capture, *_ = captured([network()], by_hand)
    model, tape = capture.initial[0], capture.tape
    values = [Z if torch.equal(v, X) else LABELS.flip(0) if torch.equal(v, LABELS) else v for v in capture.batches[0]]
    again = tape.replay(values, lambda call, args, kwargs: model(*args, **kwargs))
    assert again.item() == pytest.approx(F.cross_entropy(model(Z), LABELS.flip(0)).item(), rel=1e-5)


def test_answers_may_be_put_in_place_of_the_models():
    capture, *_ = captured([network()], by_hand)
    tape, other = capture.tape, torch.randn(24, 3, generator=torch.Generator().manual_seed(5))

    def refuse(*_: object) -> None:
        raise AssertionError("the model was called")

    again = tape.replay(capture.batches[0], refuse, {tape.calls[0].outs[0]: other})
    assert again.item() == pytest.approx(F.cross_entropy(other, LABELS).item(), rel=1e-5)


def test_steps_of_one_kind_have_one_signature():
    first, *_ = captured([network()], by_hand)
    second, *_ = captured([network()], by_hand)
    third, *_ = captured([network()], penalised)
    assert first.tape.signature == second.tape.signature != third.tape.signature


def test_a_tape_that_grows_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(taping, "LONGEST", 20)
    recorder = Recorder()
    weight = torch.ones(3, requires_grad=True)
    with recorder:
        out = weight
        for _ in range(50):
            out = out * 1.01
    assert recorder.overflown and len(recorder.operations) <= 21
    assert recorder.tape(out.sum()) is None
    recorder.clear()
    assert not recorder.overflown and not recorder.operations and not recorder.kept


def test_a_loss_that_was_not_recorded_has_no_tape():
    recorder = Recorder()
    loss = torch.ones(3, requires_grad=True).sum()
    assert recorder.tape(loss) is None
    with recorder:
        other = torch.ones(3) * 2  # no weight in it
    assert recorder.tape(other) is None


@pytest.mark.xfail(strict=True, reason="what is computed before the model's first call is not recorded")
def test_a_penalty_that_is_computed_before_the_model_is_called():
    def loss(model: nn.Module) -> Tensor:
        penalty = sum(p.abs().sum() for p in model.parameters())
        return F.cross_entropy(model(X), LABELS) + 0.1 * penalty

    same(*captured([network()], loss))


@pytest.fixture
def stack() -> Iterator[list[object]]:
    """The modes that are on now; whatever a test leaves there is taken away."""
    modes = list(torch.overrides._get_current_function_mode_stack())
    yield modes
    while torch.overrides._len_torch_function_stack() > len(modes):
        torch.overrides._pop_mode()


class Counting(torch.overrides.TorchFunctionMode):
    """A mode of the script's own."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def stepping(model: nn.Module, inside: Callable[[], Any], around: str) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        if around == "call":
            with inside():
                out = model(X)
            F.cross_entropy(out, LABELS).backward()
        elif around == "loss":
            out = model(X)
            with inside():
                loss = F.cross_entropy(out, LABELS)
            loss.backward()
        else:
            with inside():
                F.cross_entropy(model(X), LABELS).backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("inside", "around"),
    [
        pytest.param(lambda: torch.device("cpu"), "call", id="a device around the call"),
        pytest.param(Counting, "call", id="a mode around the call"),
        pytest.param(lambda: torch.device("cpu"), "loss", id="a device around the loss"),
        pytest.param(Counting, "loss", id="a mode around the loss"),
        pytest.param(Counting, "both", id="a mode around both"),
    ],
)
def test_the_modes_of_others_are_left_alone(stack, inside, around):
    alone, watched = network(), network()
    stepping(alone, inside, around)
    with listening(Listener(Chart(), True)):
        stepping(watched, inside, around)
        assert [m for m in torch.overrides._get_current_function_mode_stack() if not isinstance(m, Recorder)] == stack
    assert torch.overrides._get_current_function_mode_stack() == stack
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), watched.parameters(), strict=True))


def test_a_default_device_that_is_set_and_taken_back(stack):
    model = network()
    with listening(Listener(Chart(), True)):
        torch.set_default_device("cpu")
        out = model(X)
        torch.set_default_device(None)
        F.cross_entropy(out, LABELS).backward()
    assert torch.overrides._get_current_function_mode_stack() == stack


def test_leaves_and_mapped_know_the_same_structures():
    inside = {"a": [X, (Z, "word")], "b": Pair(LABELS, 3), "c": None}
    assert [id(t) for t in leaves(inside)] == [id(X), id(Z), id(LABELS)]
    doubled = mapped(inside, lambda t: t * 2)
    assert torch.equal(doubled["a"][1][0], Z * 2) and isinstance(doubled["b"], Pair) and doubled["c"] is None
    assert leaves(Answer(X)) == [X] and leaves(network()) == []
