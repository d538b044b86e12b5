"""Side by side: the loop of `glia.fit` for many networks at once, a step of all of them in a few calls."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from glia.data.batches import Batch, Batches
from glia.optim.build import base_rate
from glia.optim.stacked import Stacked, clip_rows, unlike
from glia.seed import mix
from glia.training.feed import moved
from glia.training.members import Member, Plan
from glia.training.nonfinite import NonFinite, all_finite
from glia.training.numbers import Numbers
from glia.training.soundness import Sound
from glia.training.stacked import Apart, Given, Stack
from glia.training.stall import beat
from glia.training.update import Progress, Update, rows_of, seed_noise

GATHERED = 16  # batches
EMPTY = 0.25  # share of the rows of a stack that may be of members which have ended, before the others are moved up


class Abreast:
    """Members in training, one row of a stack for each. Raises Apart where they cannot be stacked."""

    def __init__(self, plan: Plan, members: Sequence[Member]):
        models = [member.model for member in members]
        self.plan, self.rows = plan, list(members)
        self.device = next((p.device for p in models[0].parameters()), torch.device("cpu"))
        self.optimizers = [plan.make_optimizer(member.model, member.settings) for member in members]
        reason = unlike(self.optimizers)
        if reason:
            raise Apart(reason)
        first = next(self._batches(0), None)
        if first is None:
            raise Apart("there are no training batches")
        self.stack = Stack(
            models, plan.step, self.optimizers[0], plan.l1, first, "error" if plan.exact else "different"
        )
        self._prove(first)
        self.optimizer = Stacked(self.optimizers, self.stack.parameters(), self.stack.weights, self.stack.gradients)
        self.rates = [base_rate(optimizer) for optimizer in self.optimizers]
        self.watches = [plan.watch() for _ in members]
        self.sounds = [Sound(model, made) for model, made in zip(models, self.optimizers, strict=True)]
        self.valid_losses: list[list[float]] = [[] for _ in members]
        self.now = list(self.rates)  # with the schedule
        self.done: set[int] = set()  # numbers of members whose network is as it is to be
        self.at = 0

    def rounds(self) -> Iterator[int]:
        """Train; yields the number of each epoch, when its figures are written down. A member whose `going` is made
        False ends there.
        """
        try:
            for epoch in range(self.plan.epochs):
                self._close_ranks()
                figures = self._learn(epoch)
                self._look(epoch, figures)
                yield epoch
                if not any(member.going for member in self.rows):
                    break
        finally:
            for place, member in enumerate(self.rows):
                self._finish(place, member)

    def _prove(self, first: Given) -> None:
        """Raises Apart where the passes of all are not those of each."""
        check = next(self.plan.feed.check(), None)
        self.stack.program.eval()
        if check is not None:
            self.stack.prove(Given.shared(moved(check, self.device)))
        self.stack.program.train()
        if self.plan.exact:
            self.stack.prove(first)

    def _batches(self, epoch: int) -> Iterator[Given]:
        """Batches of an epoch, for each member in its own order."""
        feed, orders = self.plan.feed, [member.order for member in self.rows]
        if len(set(orders)) == 1 or isinstance(feed.train, list | tuple):
            return (Given.shared(moved(batch, self.device)) for batch in feed.epoch(orders[0], epoch))
        train = feed.train
        if not isinstance(train, Batches):
            raise Apart('a DataLoader has one order of rows at a time; "order" in the settings can make it the same')
        if train.lengths is not None:
            raise Apart("rows of unequal lengths come in other batches for each network")
        if train.augment is None and isinstance(train.inputs, Tensor) and isinstance(train.targets, Tensor):
            return self._gathered(train, orders, epoch)
        each = (train.epoch(order, epoch, feed.batch_size) for order in orders)
        return (Given.each([moved(batch, self.device) for batch in batches]) for batches in zip(*each, strict=True))

    def _gathered(self, train: Batches, orders: Sequence[int], epoch: int) -> Iterator[Given]:
        """The same from tensors, the rows of all members and of some batches at once."""
        parts = list(zip(*(train.order(one, epoch, self.plan.feed.batch_size) for one in orders), strict=True))
        for first in range(0, len(parts), GATHERED):
            some = parts[first : first + GATHERED]
            batch = train.at(torch.cat([one for step in some for one in step]))
            sizes = [len(step) * len(step[0]) for step in some]
            for rows in zip(*(part.split(sizes) for part in batch), strict=True):
                shaped = (part.unflatten(0, (len(orders), -1)) for part in rows)
                yield Given.own(moved(Batch(*shaped), self.device), len(rows[0]) // len(orders))

    def _learn(self, epoch: int) -> list[dict[str, float]]:
        """One epoch of steps; the training figures of each member."""
        self.stack.program.train()
        limits = self._limits()
        rows, sums = 0, list[list[float]]()
        for given in self._batches(epoch):
            beat()
            self._set_rates(epoch)
            if not self.plan.exact:
                seed_noise(mix(*(member.order for member in self.rows), "step", self.at), self.device)
            losses, *metrics = self.stack.learn(given)
            norms = clip_rows(self.stack.gradients, limits).tolist()
            sound = not self.stack.running or all_finite(self.stack.running)
            if not sound or not math.isfinite(sum(losses) + sum(norms)):
                self._part(epoch, given, losses, norms)
            self.optimizer.step()
            found = [[loss * given.rows for loss in losses], *metrics]
            sums = [[a + b for a, b in zip(*pair)] for pair in zip(sums, found)] if sums else found
            rows, self.at = rows + given.rows, self.at + 1
        return [self._named("train", rows, one) for one in zip(*sums, strict=True)]

    def _limits(self) -> Tensor | None:
        limits = [member.settings.get("clip") or math.inf for member in self.rows]
        if all(math.isinf(limit) for limit in limits):
            return None
        return torch.tensor(limits, dtype=self.stack.weights.dtype, device=self.device)

    def _set_rates(self, epoch: int) -> None:
        schedule = self.plan.schedule
        if schedule is None:
            return
        rates = [base * schedule(self.at, seen) for base, seen in zip(self.rates, self.valid_losses, strict=True)]
        for place, rate in enumerate(rates):
            if not math.isfinite(rate):
                odd = NonFinite(self.at, epoch, rate, "no step was made with it", what="the learning rate")
                self._end(place, odd)
                rates[place] = 0.0
        self.now = rates
        self.optimizer.set_lr(rates)

    def _part(self, epoch: int, given: Given, losses: Sequence[float], norms: Sequence[float]) -> None:
        """Set members aside whose figures are not finite, before their weights are touched."""
        for place, member in enumerate(self.rows):
            buffers = [buffer[place] for buffer in self.stack.running]
            if member.going and not (math.isfinite(losses[place] + norms[place]) and all_finite(buffers)):
                self._end(place, self._blamed(place, epoch, given, losses[place]))

    def _blamed(self, place: int, epoch: int, given: Given, loss: float) -> NonFinite:
        """The error that the same step of this network by itself ends with; it says where the number was born."""
        member = self.rows[place]
        alone = Update(
            model=self.stack.write(place).train(), step=self.plan.step, optimizer=self.optimizers[place],
            schedule=None, average=None, clip=None, l1=self.plan.l1, numbers=Numbers(), seed=member.order,
            measure_every=1, device=self.device,
        )  # fmt: skip
        try:
            alone([given.of(place)], Progress(epoch=epoch, step=self.at))
        except NonFinite as odd:
            if isinstance(self.plan.feed.train, Batches):
                odd.name_rows(self.plan.feed.train.rows)
            return odd
        return NonFinite(self.at, epoch, loss, "the same step by itself went well, by a hair")

    def _look(self, epoch: int, figures: list[dict[str, float]]) -> None:
        """Validation where it is due, the best weights, the figures."""
        due = (epoch + 1) % self.plan.valid_every == 0 or epoch + 1 == self.plan.epochs
        if due:
            self._sound(epoch)
        if due:
            seed_noise(mix(self.rows[0].order, "valid", epoch), self.device)
            figures = [{**one, **valid} for one, valid in zip(figures, self._validate(), strict=True)]
        for place, (member, seen, watch) in enumerate(zip(self.rows, figures, self.watches, strict=True)):
            if not member.going:
                continue
            best = due and watch.update(seen, epoch, member.model)
            if due:
                self.sounds[place].forget_first(watch.weights)
                self.valid_losses[place].append(seen.get("valid_loss", seen["train_loss"]))
            lr = self.now[place] * self.optimizers[place].param_groups[0].get("lr_scale", 1.0)
            member.note(epoch, seen, lr, watch.monitor, best=best)
            member.going = not watch.exhausted

    def _sound(self, epoch: int) -> None:
        """Write the weights out; set members aside where they are not finite."""
        held = [held for held in (self.stack.weights, *self.stack.own.values()) if held.is_floating_point()]
        fine = all_finite(held)  # one look at all, as it nearly always is
        for place, member in enumerate(self.rows):
            if member.going:
                self.stack.write(place)
                try:
                    if not fine:
                        self.sounds[place].check(self.at, epoch)
                except NonFinite as odd:
                    self._end(place, odd)

    def _validate(self) -> list[dict[str, float]]:
        self.stack.program.eval()
        rows, sums = 0, list[list[float]]()
        for batch in self.plan.feed.check():
            beat()
            if not rows_of(batch):
                continue
            count, (losses, *metrics) = self.stack.score(Given.shared(moved(batch, self.device)))
            found = [[loss * count for loss in losses], *metrics]
            sums = [[a + b for a, b in zip(*pair)] for pair in zip(sums, found)] if sums else found
            rows += count
        return [self._named("valid", rows, one) for one in zip(*sums, strict=True)] or [{} for _ in self.rows]

    def _named(self, part: str, rows: int, sums: Sequence[float]) -> dict[str, float]:
        metric = getattr(self.plan.step, "metric", None)
        figures = {f"{part}_loss": sums[0] / rows}
        return figures | ({f"{part}_{metric.name}": metric.finish(sums[1] / rows)} if metric and len(sums) > 1 else {})

    def _end(self, place: int, error: NonFinite) -> None:
        """The weights of now are the last ones, though its row goes on."""
        self.rows[place].error = error
        self._finish(place, self.rows[place])

    def _finish(self, place: int, member: Member) -> None:
        """Leave the network with its best weights, as `glia.fit` does."""
        if member.number in self.done:
            return
        self.done.add(member.number)
        self.stack.write(place)
        watch = self.watches[place]
        watch.restore(member.model) if watch.weights else self.sounds[place].restore()
        member.model.eval()
        member.going = False

    def _close_ranks(self) -> None:
        """Give the rows of members that have ended to the others, when there are enough of them."""
        going = [place for place, member in enumerate(self.rows) if member.going]
        for place, member in enumerate(self.rows):
            if not member.going:
                self._finish(place, member)
        if not 0 < len(going) <= (1 - EMPTY) * len(self.rows):
            return
        places = torch.tensor(going, device=self.device)
        self.stack.keep(places)
        self.optimizer.keep(places, self.stack.weights, self.stack.gradients)
        for name in ("rows", "optimizers", "rates", "now", "watches", "sounds", "valid_losses"):
            setattr(self, name, [getattr(self, name)[place] for place in going])
