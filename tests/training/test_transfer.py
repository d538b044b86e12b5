"""Transfer: what rests does not move, what thaws does, each stage at its own rate, and a cut run goes on the same."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import glia
from glia.data.batches import Batches
from glia.errors import GliaError
from glia.nn.stages import stages
from glia.optim.build import build as build_optimizer
from glia.optim.groups import groups
from glia.runs.packing import pack, unpack
from glia.seed import mix
from glia.training.feed import Feed
from glia.training.loop import Moment, fit
from glia.training.lr_range import lr_range
from glia.training.steps import supervised
from glia.training.transfer import Thawing, discriminate, evenly, freeze, rates, thaw

ROWS, LENGTH, VOCABULARY = 96, 8, 30


class Reader(nn.Module):
    """A small text network: vectors of the tokens, two encoder layers, their mean, a norm, the classes."""

    def __init__(self, seed: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embeddings = nn.Embedding(VOCABULARY, 16, padding_idx=0)
            layers = [nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True) for _ in range(2)]
            self.encoder = nn.Sequential(*layers)
            self.norm = nn.BatchNorm1d(16)
            self.classifier = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.norm(self.encoder(self.embeddings(x)).mean(1)))


def texts() -> Batches:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(1, VOCABULARY, (ROWS, LENGTH), generator=generator)
    return Batches(x, (x == 7).any(1).long(), torch.arange(ROWS))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_stages_of_a_network_that_names_none() -> None:
    assert stages(Reader()) == [["embeddings"], ["encoder.0"], ["encoder.1", "norm"], ["classifier"]]
    assert stages(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 1))) == [["0", "1"], ["3"]]
    assert stages(nn.Linear(2, 1)) == [["weight", "bias"]]
    assert stages(nn.ReLU()) == [[]]
    deep = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    assert [len(stage) for stage in stages(deep)] == [2, 2, 3, 2, 2, 1] and stages(deep)[-1] == ["11"]


def test_stages_that_a_network_names() -> None:
    class Named(nn.Sequential):
        def stages(self) -> list[list[str]]:
            return [["0"], ["1", "2"]]

    body = Named(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    assert stages(body) == [["0"], ["1", "2"]]
    wrapped = nn.ModuleDict({"normalise": nn.Identity(), "network": body})
    assert stages(wrapped) == [["network.0"], ["network.1", "network.2"]]
    longer = nn.Sequential(body, nn.Linear(2, 2))
    assert stages(longer) == [["0.0"], ["0.1", "0.2"], ["1"]]  # the body's head is one of its stages here


def test_freezing_by_whole_words() -> None:
    model = nn.ModuleDict({"layer1": nn.BatchNorm1d(2), "layer10": nn.BatchNorm1d(2)})
    freeze(model, ["layer1"])
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["layer1.weight", "layer1.bias"]
    assert not model["layer1"].training and model["layer10"].training
    model.train()
    thaw(model, ["layer1"])
    assert all(p.requires_grad for p in model.parameters()) and model["layer1"].training


def test_a_shared_weight_rests_with_all_its_owners_only() -> None:
    model = nn.ModuleDict({"table": nn.Embedding(5, 3), "out": nn.Linear(3, 5, bias=False)})
    model["out"].weight = model["table"].weight
    freeze(model, ["table"])
    assert model["table"].weight.requires_grad
    freeze(model, ["table", "out"])
    assert not model["table"].weight.requires_grad


def test_the_plan_is_data() -> None:
    plan = Thawing((("a",), ("b",), ("c",), ("head",)), 3, (2, 4))
    assert [plan.resting(epoch) for epoch in range(6)] == [3, 2, 2, 1, 1, 1]
    assert plan.plan() == {1: 1, 2: 2, 4: 3}
    assert plan.line() == "only the head of 4 stages trains at first; the last 2 from epoch 2, the last 3 from epoch 4"
    assert Thawing(plan.stages, 0).line() == "all 4 stages train from the first epoch"
    assert Thawing(plan.stages, 2).line() == "the last 2 of 4 stages train at first, and to the end"
    for frozen, at in ((4, ()), (-1, ()), (2, (4, 2)), (2, (0, 1))):
        with pytest.raises(GliaError, match="freeze|unfreeze_at"):
            Thawing(plan.stages, frozen, at)


def test_thawing_is_even_over_the_first_half() -> None:
    assert evenly(3, 12) == (2, 4, 6)
    assert evenly(5, 30) == (2, 5, 8, 11, 14)
    assert evenly(5, 4) == (2, 2, 2, 3, 3)
    assert evenly(0, 10) == () == evenly(3, 1)


def test_rates_by_stage_reach_the_optimizer() -> None:
    model = Reader()
    assert rates(stages(model), 0.5) == {
        "embeddings": 0.125, "encoder.0": 0.25, "encoder.1": 0.5, "norm": 0.5, "classifier": 1.0,
    }  # fmt: skip
    model.param_lr = {"encoder.0.norm1": 2.0}  # type: ignore[assignment]
    discriminate(model, 0.5)
    found = {name: group["lr_scale"] for group in groups(model, 0.01) for name, _ in group["params"]}
    assert found["embeddings.weight"] == 0.125 and found["classifier.bias"] == 1.0
    assert found["encoder.0.norm1.weight"] == 0.5 and found["encoder.0.norm2.weight"] == 0.25
    optimizer = build_optimizer("adamw", model, lr=0.1)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.0125, 0.025, 0.05, 0.1])
    with pytest.raises(GliaError, match="lr_decay"):
        rates(stages(model), 0.0)


def epochs(model: nn.Module, plan: Thawing | None, **options: Any) -> list[tuple[Moment, dict[str, Tensor]]]:
    """The Moments of the ends of epochs with the weights there."""
    discriminate(model, 0.5)
    found = fit(model, texts(), epochs=5, batch_size=24, lr=0.01, mode=plan, **options)
    return [(moment, state(model)) for moment in found if moment.kind == "epoch"]


def test_what_rests_does_not_move_until_it_thaws() -> None:
    model = Reader()
    before = state(model)
    plan = Thawing.of(model, "all", at=(2, 4))
    after = [weights for _, weights in epochs(model, plan)]
    changed = moved(before, after[0])
    assert changed == {"classifier.weight", "classifier.bias"}  # and no figure of the batch norm
    second = moved(after[0], after[1])
    assert all(name.startswith(("classifier", "encoder.1", "norm")) for name in second)
    assert {"norm.running_mean", "encoder.1.linear1.weight"} <= second
    assert not any(name.startswith("encoder.0") for name in moved(before, after[2]))
    assert any(name.startswith("encoder.0") for name in moved(after[2], after[3]))
    assert "embeddings.weight" not in moved(before, after[4])


def test_equal_to_a_loop_by_hand() -> None:
    """Two epochs of the head alone, then all: torch's own way of doing it, with batch norm put to rest by hand."""
    ours, plain, data = Reader(), Reader(), texts()
    body = [p for name, p in plain.named_parameters() if not name.startswith("classifier")]
    step = supervised("cross_entropy")
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    plan = Thawing.of(ours, "all", at=(3, 3, 3))
    found = [
        m.loss
        for m in fit(ours, data, step=step, optimizer=optimizer, epochs=4, batch_size=32, mode=plan)
        if m.kind == "step"
    ]
    theirs = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    losses: list[float] = []
    for epoch in range(4):
        plain.train()
        for p in body:
            p.requires_grad_(epoch >= 2)
        if epoch < 2:
            for part in (plain.embeddings, plain.encoder, plain.norm):
                part.eval()
        for index in torch.randperm(ROWS, generator=torch.Generator().manual_seed(mix(0, "order", epoch))).split(32):
            torch.manual_seed(mix(0, "step", len(losses)))
            theirs.zero_grad()
            loss = nn.functional.cross_entropy(plain(data.inputs[index]), data.targets[index])
            loss.backward()
            theirs.step()
            losses.append(loss.item())
    assert found == losses


@pytest.mark.parametrize("cut", [2, 4, 7, 13])
def test_a_cut_run_goes_on_the_same(cut: int) -> None:
    """Between epochs, within one, before and after stages thaw; steps are four an epoch."""
    plan = Thawing.of(Reader(), "all", at=(2, 3))
    whole = Reader()
    expected = epochs(whole, plan)
    first = Reader()
    discriminate(first, 0.5)
    for moment in fit(first, texts(), epochs=5, batch_size=24, lr=0.01, mode=plan):
        if moment.kind == "step" and moment.step == cut:
            skeleton, tensors = pack(moment.snapshot())
            break
    second = Reader(seed=9)
    found = epochs(second, plan, start=unpack(skeleton, tensors))
    assert [m.figures for m, _ in found] == [m.figures for m, _ in expected][-len(found) :]
    assert not moved(expected[-1][1], found[-1][1])
    assert not moved(state(whole), state(second))


def test_what_no_file_had_trains_from_the_first() -> None:
    model = Reader()
    before = state(model)
    plan = Thawing.of(model, "all", fresh=("encoder.0.linear1.weight",))
    assert moved(before, epochs(model, plan)[0][1]) == {
        "classifier.weight", "classifier.bias", "encoder.0.linear1.weight",
    }  # fmt: skip


def test_a_plan_that_leaves_nothing_is_refused() -> None:
    model = Reader()
    for p in model.classifier.parameters():
        p.requires_grad_(False)
    with pytest.raises(GliaError, match="nothing is left to train"):
        next(fit(model, texts(), mode=Thawing.of(model, "all")))


def test_what_the_user_froze_stays_frozen() -> None:
    model = Reader()
    model.embeddings.weight.requires_grad_(False)
    plan = Thawing.of(model, 0)
    epochs(model, plan)
    assert not model.embeddings.weight.requires_grad


def test_the_range_test_bears_frozen_parts() -> None:
    model = Reader()
    before = state(model)
    plan = Thawing.of(model, "all")
    make = lambda m: build_optimizer("adamw", m, lr=1e-6)
    seen = lr_range(model, Feed.of(texts(), 16), supervised(), make, mode=lambda m: plan(m, 0))
    assert len(seen.lrs) > 6 and not moved(before, state(model))
    assert all(p.requires_grad for p in model.parameters())


def test_weights_that_were_trained_help() -> None:
    """The head alone, on a body that knows the question, beats a fresh network in as many epochs."""
    body = Reader()
    list(fit(body, texts(), epochs=40, batch_size=24, lr=0.01))
    tuned = copy.deepcopy(body)
    tuned.classifier.reset_parameters()
    fresh = Reader(seed=5)
    few = {"epochs": 4, "batch_size": 24, "lr": 0.01}
    losses = []
    for model, plan in ((tuned, Thawing.of(tuned, "all")), (fresh, None)):
        last = [m for m in glia.fit(model, texts(), mode=plan, **few) if m.kind == "epoch"][-1]
        losses.append(last.figures["train_loss"])
    assert losses[0] < losses[1]
