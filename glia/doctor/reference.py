"""Reference: a plain network on the script's rows. Can anything learn this, and by how much is the script's beaten?"""

import time

import torch
from torch import Tensor, nn

from glia.doctor.trial import Trials
from glia.seed import mix
from glia.vitals import answers as answering
from glia.vitals.tape import Ref, leaves

WIDTH, LR, BATCH, FEWEST, MOST = 64, 3e-3, 32, 200, 1500  # steps
MOST_NUMBERS, WIDEST_TABLE, EMBEDDED = 20_000, 4096, 16
FEWEST_WITHIN = 100  # held-out rows that are worth learning by themselves
SHARE = 0.25  # of the budget that it may take


def reference(trials: Trials, *, within: bool = False) -> float | None:
    """Skill on held-out rows of two hidden layers of 64 ReLU units under Adam; None where the rows are no such thing.

    Inputs are the first that the model takes: numbers, standardised and flattened, or tokens, embedded. within: learn
    one half of the held-out rows and be asked about the other, to see whether they make sense by themselves.
    """
    bench, held = trials.bench, trials.held
    if held is None or held.labels is None or bench.label_slot is None or bench.answers is None or not bench.together:
        return None
    places = {at: i for i, at in enumerate(bench.tape.given)}
    first = next((v for v in bench.call.args if isinstance(v, Ref) and v.at in places), None)
    labels = bench.data[bench.label_slot]
    if first is None or labels is None or bench.data[places[first.at]] is None:
        return None
    x, asked = bench.data[places[first.at]], leaves((held.args, held.kwargs))[0]
    if x is None or x[0].numel() > MOST_NUMBERS or asked.shape[1:] != x.shape[1:]:
        return None
    rows = torch.as_tensor(trials.train) if trials.train is not None else torch.arange(len(x))
    x, labels, right = x[rows], labels[rows], held.labels
    if within:
        half = torch.arange(len(asked)) % 2 == 0
        if len(asked) < FEWEST_WITHIN or held.source != "script":
            return None
        x, labels, asked, right = asked[half], right[half], asked[~half], right[~half]
    began = time.process_time()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix("reference") % 2**62)
        found = _trained(trials, (x, labels), (asked, right))
    trials.spent += time.process_time() - began
    return found


def _trained(trials: Trials, known: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> float | None:
    """Learn the known rows and labels; the skill on the held ones."""
    bench, (x, y), (asked, right) = trials.bench, known, held
    answers, _ = bench.asked()
    like = bench.shape_of(bench.place)[1:]
    x, asked, net = _network(x, asked, like)
    numbers = answers.kind == "numbers"
    middle, width = (y.double().mean(0), y.double().std(0, correction=0) + 1e-8) if numbers else (0.0, 1.0)
    loss = answering.fitting_loss(answers)[1]
    optimizer = torch.optim.Adam(net.parameters(), LR)
    steps = min(MOST, max(FEWEST, trials.steps))
    until = time.process_time() + SHARE * trials.budget
    done = 0
    while done < steps and time.process_time() < until:
        for part in torch.randperm(len(x)).split(BATCH):
            target = ((y[part].double() - middle) / width).float() if numbers else y[part]
            optimizer.zero_grad()
            loss(net(x[part]).reshape(len(part), *like), target).backward()
            optimizer.step()
            done += 1
            if done >= steps:
                break
    net.eval()
    with torch.no_grad():
        out = net(asked).reshape(len(asked), *like)
    right = ((right.double() - middle) / width).float() if numbers else right
    try:
        return answering.score(answers, out, right, threshold=0.0).skill
    except ValueError:
        return None  # the held-out labels come in another form than the loss takes


def _network(x: Tensor, asked: Tensor, like: tuple[int, ...]) -> tuple[Tensor, Tensor, nn.Module]:
    """The inputs as it takes them, and the network for outputs of that shape."""
    width = max(1, int(torch.Size(like).numel()))
    if x.is_floating_point():
        flat = x.flatten(1).double().nan_to_num(0, 0, 0)
        middle, spread = flat.mean(0), flat.std(0, correction=0) + 1e-8
        x = ((flat - middle) / spread).float()
        asked = ((asked.flatten(1).double().nan_to_num(0, 0, 0) - middle) / spread).float()
        first: list[nn.Module] = [nn.Linear(x.shape[1], WIDTH)]
    else:
        x, asked = x.flatten(1).long().clamp(min=0), asked.flatten(1).long().clamp(min=0)
        known = int(max(x.max().item(), asked.max().item())) + 1
        first = [nn.Embedding(known, EMBEDDED), nn.Flatten(), nn.Linear(x.shape[1] * EMBEDDED, WIDTH)]
    return x, asked, nn.Sequential(*first, nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, width))
