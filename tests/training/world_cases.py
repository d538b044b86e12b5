"""What one of several processes finds in some small trainings; a JSON file for test_world.py."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import glia
from glia.data.batches import Batches
from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.optim.average import Average
from glia.runs.folder import RunFolder
from glia.training.adversarial import adversarial
from glia.training.nonfinite import NonFinite

RANK = int(os.environ["RANK"])
SIZE = int(os.environ["WORLD_SIZE"])
FOUND: dict[str, Any] = {}
FAR = 35  # a row that is in process 1's share


def table(rows: int) -> Batches:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 6, generator=generator)
    return Batches(x, (x[:, 0] * x[:, 1] > 0).long(), torch.arange(rows))


def mlp(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 16), *extra, nn.Tanh(), nn.Linear(16, 2))


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body, self.head = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.view(len(x), 3, 2))[0][:, -1])


class TwoWays(nn.Module):
    """Rows with a large first number take another way, which few batches have."""

    def __init__(self) -> None:
        super().__init__()
        self.usual, self.seldom, self.never = mlp(), mlp(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        far = x[:, 0] > 1.5
        return torch.where(far[:, None], self.seldom(x), self.usual(x)) if far.any() else self.usual(x)


def run(name: str, model: nn.Module, data: Any, **options: Any) -> nn.Module:
    moments = list(glia.fit(model, data, **{"epochs": 5, "batch_size": 20, "lr": 0.01, **options}))
    FOUND[name] = {
        "losses": [m.loss for m in moments if m.kind == "step"],
        "figures": [list(m.figures.values()) for m in moments if m.kind == "epoch"],
        "hash": hash_of(model),
        "weights": [v.flatten().tolist() for v in model.parameters()][0],
    }
    return model


def hash_of(model: nn.Module) -> str:
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()


def error_of(name: str, *given: Any, **options: Any) -> None:
    try:
        list(glia.fit(*given, epochs=2, **options))
    except (GliaError, NonFinite) as error:
        FOUND[name] = str(error)


def equal_trainings() -> None:
    data = (table(205), table(43))
    run("mlp", mlp(), data)
    run("lstm", Reader(), data)
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (45, 1, 12, 12), generator=generator).to(torch.uint8)
    pictures = Batches(pixels, torch.arange(45) % 10, torch.arange(45))
    facts, task = ImageFacts(1, 12, 12, (0.5,), (0.3,), 45), Task("classify", ("digit",), tuple("0123456789"))
    run("lenet", build("lenet5", facts, task, seed=1), (pictures, pictures), epochs=3, batch_size=15)
    run("accumulate", mlp(), data, accumulate=3)
    run("uneven", mlp(), (table(19), table(1)), batch_size=2)  # the last share of some batches is empty
    x, y = data[0].inputs, data[0].targets
    run("loader", mlp(), DataLoader(TensorDataset(x, y), 20, shuffle=True))
    model = mlp()
    run("average", model, data, average=Average(model, 0.9))
    run("clip", mlp(), data, clip=0.05)
    model = mlp()
    model[0].requires_grad_(False)
    run("frozen", model, data)
    run("none-in-some", TwoWays(), data, batch_size=6)
    run("l1", mlp(), data, l1=0.01)
    run("batch-norm", mlp(nn.BatchNorm1d(16)), data)
    run("bfloat16", mlp(), data, precision="bfloat16")
    run("dropout", mlp(nn.Dropout(0.5)), data)
    run("dropout-again", mlp(nn.Dropout(0.5)), data)


def ends() -> None:
    def odd(model: nn.Module, batch: Any) -> Tensor:
        loss = nn.functional.cross_entropy(model(batch.inputs), batch.targets)
        return loss * float("nan") if RANK == 1 else loss

    def updates(model: nn.Module, batch: Any) -> Tensor:
        with torch.no_grad():
            model[0].weight += 0.1 * batch.inputs.mean()
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets)

    def draws(model: nn.Module, batch: Any) -> Tensor:
        FOUND.setdefault("draws", []).append(torch.rand(1).item())
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets)

    error_of("odd", mlp(), table(40), step=odd)
    error_of("own-updates", mlp(), table(40), step=updates)
    list(glia.fit(mlp(), table(40), step=draws))
    error_of("other-data", mlp(), [(torch.zeros(4, 6), torch.tensor([0, RANK, 1, 1]))])
    data = (table(30), table(50))
    FOUND["stopped-early"] = len([m for m in glia.fit(mlp(), data, epochs=60, lr=0.1, patience=3) if m.kind == "epoch"])


def gradients() -> None:
    """Not finite in process 1 alone, while its loss is; with and without a row that shows why."""

    def spoils(model: nn.Module, batch: Any) -> Tensor:
        loss = nn.functional.cross_entropy(model(batch.inputs.clamp(-1, 1)), batch.targets)
        return loss + (0 * model[0].weight).sqrt().sum() if RANK == 1 else loss

    def counts(model: nn.Module, batch: Any) -> Tensor:
        model.seen += float("nan") if RANK == 0 else 1.0
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets)

    error_of("bad-gradient", mlp(), table(40), step=spoils)
    far = table(40)
    far.inputs[FAR, 0] = torch.inf
    error_of("bad-row", mlp(), far, step=spoils, batch_size=40)
    model = mlp()
    model.register_buffer("seen", torch.zeros(()))
    error_of("bad-buffer", model, table(40), step=counts)


def whole_runs(folder: Path) -> None:
    """Through `glia.train`: kinds of network and of training that are more than a network and a loss."""
    folder.mkdir(exist_ok=True)
    source = folder / "rows.csv"
    if RANK == 0:
        x = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
        lines = [f"{a:.3f},{b:.3f},{c:.3f},{'yes' if a * b + c > 0 else 'no'}" for a, b, c in x.tolist()]
        source.write_text("\n".join(["a,b,c,answer", *lines]))
    quick = {"doctor": False, "baselines": False, "threads": 1, "workers": 0, "dropout": 0.0, "patience": 0}
    settings = {"target": "answer", "runs": folder, "epochs": 3, "batch_size": 20, "lr": 0.01, **quick}
    for name, more in {"folds": {}, "tabm": {}, "mlp": {"hidden": [8], "swa": 0.5}}.items():
        done = glia.train(source, model=name, name=name, **settings, **more)
        history = RunFolder.open(done.folder).history()
        told = {"losses": history["train_loss"], "figures": list(history.values())}
        FOUND[f"{name}-run"] = told | {"hash": hash_of(done.model)}


def players() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (32, 1, 16, 16), generator=generator).to(torch.uint8)
    facts = ImageFacts(1, 16, 16, (0.5,), (0.25,), rows=32)
    model = build("dcgan", facts, Task("own", ()), latent=6, width=4)
    run("gan", model, Batches(x, torch.zeros(32).long(), torch.arange(32)), step=adversarial(), batch_size=8)


def torch_s_own() -> None:
    """The same 160 rows in batches of 20, each half its own process's."""
    data = table(160)
    make = lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model = mlp()
    run("mlp-sgd", model, data, optimizer=make(model), epochs=1, lr=None)
    model = mlp()
    parallel = nn.parallel.DistributedDataParallel(model) if SIZE > 1 else model
    optimizer = make(model)
    for batch in data.epoch(0, 0, 20):
        half = slice(10 * RANK, 10 * RANK + 10)
        optimizer.zero_grad()
        nn.functional.cross_entropy(parallel(batch.inputs[half]), batch.targets[half]).backward()
        optimizer.step()
    FOUND["ddp"] = {"weights": [v.flatten().tolist() for v in model.parameters()][0]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    if SIZE > 1:
        dist.init_process_group("gloo")
    equal_trainings()
    whole_runs(Path(sys.argv[1]).with_name(str(SIZE)))
    if SIZE > 1:
        players()
        ends()
        gradients()
        torch_s_own()
        dist.destroy_process_group()
    Path(sys.argv[1]).write_text(json.dumps(FOUND))
