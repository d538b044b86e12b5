"""Data, networks and Steps as Python has them, through the whole river and back from a stop."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import glia
from glia.data.facts import ImageFacts, TextFacts
from glia.data.given import given
from glia.data.task import Task
from glia.models.build import build
from glia.runs import checkpoint

SHORT: dict[str, Any] = {"epochs": 2, "doctor": False, "baselines": False, "lr": 0.01}


def rows(count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 0).long()


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))


def test_tensors_are_taken_as_they_are(tmp_path: Path) -> None:
    run = glia.train(data=(rows(), rows(50, 1)), model=net(), runs=tmp_path, epochs=40, doctor=False, lr=0.01)
    assert run.metrics["valid"]["accuracy"] > 0.9 and run.metrics["baselines"]
    x, y = rows(20, 2)
    again = glia.open(run.folder, model=net())
    assert again.evaluate((x, y)) == run.evaluate((x.numpy(), y.numpy()))
    said = again.predict(x)
    want = again.model(x).softmax(1)[:, 1]
    assert torch.allclose(torch.tensor(said["p_1"].to_numpy()), want, atol=1e-6)
    with pytest.raises(glia.GliaError, match="shape of a row"):
        again.predict(x[:, :5])


def test_numbers_are_predicted_by_a_named_network(tmp_path: Path) -> None:
    x, _ = rows(400)
    run = glia.train(data=((x[:300], x[:300, 0] * 3), (x[300:], x[300:, 0] * 3)), model="mlp", runs=tmp_path, **SHORT)
    assert set(run.metrics["valid"]) == {"rmse", "mae", "r2"}
    assert glia.open(run.folder).predict(x[:2]).columns == ["row", "prediction"]


def loaders(workers: int = 0) -> tuple[DataLoader[Any], DataLoader[Any]]:
    parts = (TensorDataset(*rows()), TensorDataset(*rows(50, 1)))
    first, second = (DataLoader(part, 16, shuffle=True, num_workers=workers) for part in parts)
    return first, second


def own(model: nn.Module, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def test_loaders_and_a_step_of_ones_own_stop_and_go_on(tmp_path: Path) -> None:
    whole = glia.train(data=loaders(), model=net(), step=own, runs=tmp_path, name="whole", **SHORT)
    assert set(whole.metrics["valid"]) == {"loss"} and "Finished" in (whole.folder / "report.html").read_text()

    class Halt(Exception):
        """Ends a run as a kill would."""

    def halting(session: Any, folder: Any, choices: Any) -> tuple[Any, ...]:
        def watch(moment: glia.Moment) -> None:
            if moment.step == 17:
                raise Halt

        return (watch,)

    with pytest.raises(Halt):
        glia.train(
            data=loaders(), model=net(), step=own, runs=tmp_path, name="cut", begin=halting, checkpoint_s=0, **SHORT
        )
    assert checkpoint.latest(tmp_path / "cut")["progress"]["step"] == 17  # type: ignore[index]
    cut = glia.resume(tmp_path / "cut", data=loaders(), model=net(), step=own)
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, cut.model.state_dict()[name])
    assert (cut.folder / "chart.jsonl").read_bytes() == (whole.folder / "chart.jsonl").read_bytes()


def test_a_gan_and_a_language_model_are_steps(tmp_path: Path) -> None:
    pictures = torch.randint(0, 255, (64, 1, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    facts = ImageFacts(1, 16, 16, (0.5,), (0.25,), rows=64)
    gan = build("gan", facts, Task("own", ()))
    data = (pictures, torch.zeros(64, dtype=torch.long))
    made = glia.train(data=(data, data), model=gan, step=glia.adversarial(), runs=tmp_path, **SHORT)
    assert {"loss", "generator_loss"} == set(made.metrics["valid"])

    tokens = torch.randint(0, 12, (64, 17), generator=torch.Generator().manual_seed(0))
    gpt = build("gpt-nano", TextFacts(12, 16, 0, rows=64), Task("language", ("next",), tuple("abcdefghijkl")))
    text = (tokens[:, :-1], tokens[:, 1:])
    spoken = glia.train(data=(text, text), model=gpt, step=glia.next_token(), runs=tmp_path, **SHORT)
    assert {"loss", "bits"} == set(spoken.metrics["valid"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (((rows()[0], rows(3)[1]),), "inputs and targets"),
        ("digits", "expected"),
        (({"x": 1},), "got dict"),
        ((None, rows()), "no training rows"),
        (((rows()[0], -rows()[1] - 1),), "whole numbers from 0"),
    ],
)
def test_what_are_no_data(data: Any, message: str) -> None:
    with pytest.raises(glia.GliaError, match=message):
        given(data)


def test_a_task_that_only_the_step_knows_needs_one() -> None:
    with pytest.raises(glia.GliaError, match="Step of your own"):
        glia.train(data=loaders(), model=net(), **SHORT)
