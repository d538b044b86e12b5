"""Trial: a short training of a copy, with one change. Nothing of the script is touched; its random numbers neither."""

import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from glia.doctor.changes import Change, exchanges, loss_of, resized
from glia.doctor.copies import Inputs, drawn_anew, stirred, target_scale
from glia.seed import mix
from glia.vitals.bench import Bench, Rows, weights_of
from glia.vitals.capture import copied
from glia.vitals.chart import Chart, LoopFacts, ScoreFacts
from glia.vitals.operations import Walk
from glia.vitals.tape import Call, filled, leaves, mapped

LOOKS = (0.3, 0.6)  # of the steps, at which a trial may end early
FEWEST_TO_SPLIT, SAME = 40, 0.98  # rows; share of held-out rows that are training rows
DONE, HOPELESS = 0.97, 0.02  # skill: nothing more to gain; nothing gained so far
FUSED = (torch.optim.Adam, torch.optim.AdamW)  # whose step is worth one kernel on a processor
PATIENCE = 4.0  # seconds on the wall for each CPU second of the budget
STILL = 0.02  # share of its first value by which a loss that moves has moved


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial. skill: on held-out rows, 0 to 1; score: the same as people read it. seconds: CPU time."""

    skill: float
    score: ScoreFacts | None
    steps: int
    finite: bool
    seconds: float
    first_loss: float = math.nan
    last_loss: float = math.nan
    error: str = ""


@dataclass(slots=True)
class Habits:
    """How the script itself goes about it: what a trial keeps unless the change says otherwise."""

    steps: int
    batch_rows: int
    accumulate: int = 1
    zero_grad: bool = True
    cleared_late: bool = False
    step: bool = True
    eval_in_training: bool = False
    shuffle: bool = True
    clip: float = math.nan
    rates: list[float] = field(default_factory=list)  # learning rate of each step, over the first


def habits(chart: Chart, bench: Bench) -> Habits:
    """What the chart says of the loop."""
    loop = chart.loop or LoopFacts()
    carried = [s.carried for s in chart.steps if s.carried is not None]
    rates = [s.lr for s in chart.steps if s.lr == s.lr and s.optimizer == 0]
    first = rates[0] if rates else 0.0
    varied = first > 0 and max(rates) / max(min(rates), 1e-30) > 1.01
    optimizers = max(1, len(bench.capture.optimizers))
    cycles = max(1, loop.steps // optimizers)
    return Habits(
        steps=cycles if loop.steps else chart.backwards,
        batch_rows=bench.batch_rows,
        accumulate=max(1, round(chart.backwards / cycles)) if loop.steps else 1,
        zero_grad=not (len(carried) >= 3 and sum(carried) >= 0.9 * len(carried)),
        cleared_late=loop.cleared_late >= 0.9,
        step=loop.steps > 0,
        eval_in_training=loop.training_mode == 0,
        shuffle=loop.shuffled is not False,
        clip=loop.clip,
        rates=[rate / first for rate in rates] if varied else [],
    )


class Trials:
    """Attempts on one bench; the same change is tried once for each seed."""

    def __init__(self, bench: Bench, habits: Habits, chart: Chart, budget: float):
        self.bench, self.habits, self.chart = bench, habits, chart
        self.budget, self.spent = budget, 0.0
        self.until = math.inf  # by the clock on the wall, from the first trial on
        self.known: dict[tuple[Any, ...], Outcome] = {}
        self.train, self.held = self._parts()
        self.steps = habits.steps  # of a trial; fewer where the script ran long

    def _parts(self) -> tuple[Sequence[int] | None, Rows | None]:
        """Which rows are trained on, and which are held out: the script's own, or a part that is kept apart."""
        bench = self.bench
        split = self.chart.split
        known = split is not None and split.shared >= SAME  # what the script looks at are its training rows
        own = bench.held if not known else None
        if own is not None or bench.train is None or not bench.together or bench.rows < FEWEST_TO_SPLIT:
            return None, bench.held or bench.train
        order = torch.randperm(bench.rows, generator=torch.Generator().manual_seed(mix("kept out") % 2**62))
        cut = max(1, bench.rows // 4)
        apart, rest = order[:cut].sort().values, order[cut:].sort().values
        count = bench.train.count
        apart = apart[apart < count]
        args, kwargs = mapped(
            (bench.train.args, bench.train.kwargs), lambda t: t[apart] if t.ndim and len(t) == count else t
        )
        labels = bench.train.labels[apart] if bench.train.labels is not None else None
        return rest.tolist(), Rows(bench.train.call, args, kwargs, labels, len(apart), source="split")

    @property
    def left(self) -> float:
        """CPU seconds that may still be spent; a machine that is busy with other things ends it by the wall's clock."""
        return min(self.budget - self.spent, self.until - time.monotonic())

    @staticmethod
    def key(change: Change, seed: int = 0) -> tuple[Any, ...]:
        """Tells trials apart."""
        return tuple(sorted((k, repr(v)) for k, v in change.items())), seed

    def shorten(self, count: int, fewest: int) -> None:
        """Cut the steps of a trial so that about `count` whole ones fit into the budget; `fewest` are always made."""
        if self.steps <= fewest:
            return
        whole, self.steps = self.steps, 8
        began = time.process_time()
        with torch.random.fork_rng(devices=[]):
            outcome = self._made({}, 0, began, hopeful=True)
        each = (time.process_time() - began) / max(1, outcome.steps)
        self.spent += time.process_time() - began
        self.steps = whole if outcome.error else max(fewest, min(whole, int(self.budget / count / max(each, 1e-6))))

    def attempt(self, change: Change, seed: int = 0, *, hopeful: bool = True) -> Outcome:
        """Train a copy with the change. hopeful: go on to the end even if nothing has been gained halfway.

        What cannot be done comes back as an error.
        """
        key = self.key(change, seed)
        if key not in self.known:
            began = time.process_time()
            self.until = min(self.until, time.monotonic() + PATIENCE * self.budget)
            with torch.random.fork_rng(devices=[]):
                outcome = self._made(change, seed, began, hopeful)
            self.spent += time.process_time() - began
            self.known[key] = outcome
        return self.known[key]

    def _made(self, change: Change, seed: int, began: float, hopeful: bool) -> Outcome:
        torch.manual_seed(mix("trial", seed) % 2**62)
        try:
            return _Training(self, change, seed, hopeful).run(began)
        except Exception as error:  # a change that this network cannot take is no failure of the doctor
            spent = time.process_time() - began
            return Outcome(0.0, None, 0, False, spent, error=f"{type(error).__name__}: {error}")


class _Training:
    """One attempt."""

    def __init__(self, trials: Trials, change: Change, seed: int, hopeful: bool):
        self.trials, self.bench, self.habits = trials, trials.bench, trials.habits
        self.change, self.seed, self.hopeful = change, seed, hopeful
        bench = self.bench
        self.models = copied(bench.capture.initial)
        if "units" in change and not resized(self.models, bench.steps, int(change["units"])):
            raise ValueError("the layers cannot be resized")
        if change.get("init") and "units" not in change:
            drawn_anew(self.models, str(change["init"]))
        elif seed:
            stirred(self.models, seed)
        if change.get("train_all") or change.get("optimizer_params"):
            for model in self.models:
                model.requires_grad_(True)
        extra: list[nn.Parameter] = []
        self.exchanged = exchanges(bench, change, extra)
        self.loss = loss_of(bench, change)
        self.optimizers = list(self._optimizers(extra))
        self.inputs = Inputs(bench, change)
        self.rows = trials.train if trials.train is not None else range(bench.rows)
        self.batch = int(change.get("batch_size") or self.habits.batch_rows) if bench.together else 0
        epochs = float(change.get("epochs_times", 1.0))
        per_epoch = max(1, math.ceil(len(self.rows) / self.batch)) if self.batch else len(bench.capture.batches)
        if "batch_size" in change and bench.together:
            before = max(1, math.ceil(len(self.rows) / max(1, self.habits.batch_rows)))
            epochs *= per_epoch / before
        self.total = max(1, round(trials.steps * epochs))
        self.scale: Callable[[Tensor], Tensor] = target_scale(bench, change)

    def _optimizers(self, extra: list[nn.Parameter]) -> Iterator[torch.optim.Optimizer]:
        change, known = self.change, self.bench.capture.optimizers
        every = [p for model in self.models for p in model.parameters()]
        stack = "units" in change
        peak = max(self.habits.rates, default=1.0)  # a rate that is asked for is the highest of the schedule
        for number, record in enumerate(known):
            kind = getattr(torch.optim, change["optimizer"]) if "optimizer" in change else record.kind
            allowed = set(inspect.signature(kind).parameters)
            groups = []
            first_lr = record.groups[0][0].get("lr", 1e-3)
            for options, names in record.groups:
                found = [self.models[root].get_parameter(name) for root, name in names]
                kept = {k: v for k, v in options.items() if k in allowed and k not in ("params", "closure")}
                if "optimizer" in change:
                    kept = {"lr": change.get("lr", 1e-3) / peak}
                elif "lr" in change:
                    kept["lr"] = change["lr"] / peak * (options.get("lr", first_lr) / first_lr if first_lr else 1.0)
                if "weight_decay" in change and "weight_decay" in allowed:
                    kept["weight_decay"] = change["weight_decay"]
                if "momentum" in change and "momentum" in allowed:
                    kept["momentum"] = change["momentum"]
                if "eps" in change and "eps" in allowed:
                    kept["eps"] = change["eps"]
                groups.append({"params": found, **kept})
            if number == 0:
                have = {id(p) for group in groups for p in group["params"]}
                wanted = every if change.get("optimizer_params") or change.get("train_all") or stack else []
                groups[0]["params"] = [*groups[0]["params"], *(p for p in wanted if id(p) not in have), *extra]
            groups = [g for g in groups if g["params"]]
            if groups:
                yield kind(_fused(kind, groups))  # type: ignore[call-arg]

    def run(self, began: float) -> Outcome:
        first, last = math.nan, math.nan
        steps, looks = 0, [max(1, round(look * self.total)) for look in LOOKS]
        rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        clip = float(self.change.get("clip_norm", self.habits.clip))
        late = self.habits.cleared_late and not self.change.get("zero_grad")
        keep = not self.habits.zero_grad and not self.change.get("zero_grad")
        moving = self.habits.step or bool(self.change.get("step"))
        accumulate = self.habits.accumulate
        batches = self._batches()
        parameters = [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
        self._train_mode()
        for steps in range(1, self.total + 1):
            self._set_rates(rates, steps - 1)
            parts = [next(batches) for _ in range(accumulate)]

            def closure(parts: list[list[Any]] = parts) -> Tensor:
                nonlocal last
                if not keep:
                    for optimizer in self.optimizers:
                        optimizer.zero_grad()
                for part in parts:
                    loss = self._scalar(part)
                    if loss.requires_grad:
                        loss.backward()
                    last = loss.item()
                if late:
                    for optimizer in self.optimizers:
                        optimizer.zero_grad()
                if clip == clip:
                    nn.utils.clip_grad_norm_(parameters, clip)
                return loss

            if moving:
                if self.bench.capture.optimizers[0].closure and isinstance(self.optimizers[0], torch.optim.LBFGS):
                    self.optimizers[0].step(closure)
                else:
                    closure()
                    for optimizer in self.optimizers:
                        optimizer.step()
            first = last if first != first else first
            if steps in looks or not math.isfinite(last):
                outcome = self._outcome(steps, first, last, began)
                if not outcome.finite or outcome.skill >= DONE or self._give_up(outcome, steps > looks[0]):
                    return outcome
                self._train_mode()
        return self._outcome(steps, first, last, began)

    def _give_up(self, outcome: Outcome, late: bool) -> bool:
        """Out of time; or an idea of many, and nothing has moved."""
        still = abs(outcome.last_loss - outcome.first_loss) <= STILL * abs(outcome.first_loss)
        useless = outcome.skill < HOPELESS and not self.hopeful
        return self.trials.left - outcome.seconds <= 0 or (useless and (late or still))

    def _train_mode(self) -> None:
        """As the script has its models in training; or in train(), once the change sets the modes right."""
        for model in self.models:
            model.train(not self.habits.eval_in_training or bool(self.change.get("train_mode")))

    def _set_rates(self, rates: list[list[float]], step: int) -> None:
        """The script's schedule, stretched over the steps of the trial where they are more than the script's."""
        known = self.habits.rates
        if not known:
            return
        span = max(self.habits.steps, self.total)
        times = known[min(len(known) - 1, step * len(known) // span)]
        for optimizer, before in zip(self.optimizers, rates):
            for group, rate in zip(optimizer.param_groups, before):
                group["lr"] = rate * times

    def _batches(self) -> Iterator[list[Any]]:
        """Given values of the tape, batch by batch, epoch after epoch."""
        bench, epoch = self.bench, 0
        shuffle = bool(self.change.get("shuffle", self.habits.shuffle))
        while True:
            generator = torch.Generator().manual_seed(mix("order", self.seed, epoch) % 2**62)
            if bench.together:
                rows = torch.as_tensor(self.rows)
                order = rows[torch.randperm(len(rows), generator=generator)] if shuffle else rows
                for at in range(0, len(order), self.batch):
                    part = order[at : at + self.batch]
                    if len(part) == 1 and self.batch > 1 and len(order) > 1:
                        continue  # a batch norm cannot take a single row
                    yield [None if t is None else t[part] for t in bench.data]
            else:
                count = len(bench.capture.batches)
                places = torch.randperm(count, generator=generator).tolist() if shuffle else range(count)
                for at in places:
                    yield bench.capture.batches[at]
            epoch += 1

    def _scalar(self, batch: list[Any]) -> Tensor:
        """The loss of a batch: the script's own way from outputs to a scalar, or the one the change asks for."""
        bench = self.bench
        batch = self.inputs.prepared(batch)
        if bench.label_slot is not None:
            batch = [self.scale(v) if i == bench.label_slot else v for i, v in enumerate(batch)]
        given = bench.given(batch, weights_of(self.models))
        with bench.precision():
            if self.loss is None:
                return bench.tape.replay(given, self._call)
            out = self._judged(given)
            return self.loss(out.float(), batch[bench.label_slot])  # type: ignore[index]

    def _call(self, call: Call, args: Any, kwargs: Any) -> Any:
        module = self.models[call.root].get_submodule(call.path)
        attach = bool(self.change.get("attach"))
        with Walk(self.exchanged, graded=attach) if self.exchanged or attach else nullcontext():
            return module(*args, **kwargs)

    def _judged(self, given: list[Any]) -> Tensor:
        """The judged output alone; operations that lead to it are done, the loss is not."""
        bench = self.bench
        values: dict[int, Any] = dict(zip(bench.tape.given, given))
        for operation in bench.tape.operations:
            function = operation.function
            args, kwargs = filled(operation.args, values), filled(operation.kwargs, values)
            result = self._call(function, args, kwargs) if isinstance(function, Call) else function(*args, **kwargs)
            if operation is bench.call:
                return bench.judged(result)
            values.update(zip(operation.outs, leaves(result)))
        raise RuntimeError("the judged output is not on the tape")

    def _outcome(self, steps: int, first: float, last: float, began: float) -> Outcome:
        held = self.trials.held
        score = self._score(held) if held is not None else None
        finite = math.isfinite(last) and (score is None or math.isfinite(score.value))
        return Outcome(
            score.skill if score is not None else 0.0, score, steps, finite, time.process_time() - began, first, last
        )

    def _score(self, rows: Rows) -> ScoreFacts | None:
        bench, change = self.bench, self.change
        training = rows.training and not change.get("train_mode")
        for model in self.models:
            model.train(training)
        args, kwargs = self.inputs.arguments(rows)
        with Walk(self.exchanged) if self.exchanged else nullcontext():
            labels = self.scale(rows.labels) if rows.labels is not None else None
            level = _threshold(change, bench.threshold)
            if "output_units" in change and labels is not None:
                return _by_class(bench, self.models, rows, args, kwargs, labels)
            return bench.score(
                self.models, Rows(rows.call, args, kwargs, labels, rows.count, training, rows.source), level
            )


def _fused(kind: type[torch.optim.Optimizer], groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups that Adam steps by one kernel on a processor: a quarter less time for a trial of linear layers.

    For SGD it gains nothing. A script that has chosen between torch's ways keeps its choice. The kernel walks through
    memory: of a weight that lies there in another order than its gradient it would mix up the numbers.
    """
    weights = [p for group in groups for p in group["params"]]
    plain = all(p.is_floating_point() and p.is_contiguous() and p.device.type == "cpu" for p in weights)
    chosen = any(group.get(way) is not None for group in groups for way in ("fused", "foreach"))
    chosen |= any(group.get("differentiable") for group in groups)
    if kind not in FUSED or chosen or not plain:
        return groups
    return [{**group, "fused": True} for group in groups]


def _by_class(
    bench: Bench, models: Sequence[nn.Module], rows: Rows, args: Any, kwargs: Any, labels: Tensor
) -> ScoreFacts:
    """With as many outputs as classes: the largest one is the answer."""
    out = bench.outputs(models, Rows(rows.call, args, kwargs, labels, rows.count))
    right = labels.reshape(-1).long()
    value = (out.argmax(1) == right).float().mean().item()
    chance = right.bincount().max().item() / len(right)
    return ScoreFacts("accuracy", "valid", value, chance, len(right))


def _threshold(change: Change, usual: float) -> float:
    """Above it an output means yes, once the change is made."""
    if change.get("loss") in ("BCEWithLogitsLoss",):
        return 0.0
    if "loss" in change or "output_activation" in change:
        return 0.5
    return usual
