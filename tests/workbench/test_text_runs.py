"""The whole river on a few texts: train, go on, predict, evaluate, export, report, explain."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

import glia
from glia.cli.main import app
from glia.predict.words import words_that_mattered
from glia.training.loop import Moment
from glia.workbench.session import Session, Watcher

FILM = ["film", "plot", "scene", "actor", "music", "story", "end", "start", "camera", "voice"]


def corpus(count: int = 240, seed: int = 0) -> pl.DataFrame:
    """Texts whose class is told by one word of many."""
    dice = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        good = bool(dice.integers(2))
        words = [*dice.choice(FILM, 6), str(dice.choice(["great", "lovely"] if good else ["awful", "boring"]))]
        rows.append((" ".join(dice.permutation(words)), "good" if good else "bad"))
    return pl.DataFrame(rows, schema=["review", "label"], orient="row")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> glia.Run:
    folder = tmp_path_factory.mktemp("texts")
    corpus().write_csv(folder / "t.csv")
    options = {"members": 3, "width": 16, "epochs": 8, "lr": 0.02, "batch_size": 16, "threads": 1}
    return glia.train(folder / "t.csv", target="label", runs=folder / "runs", name="t", **options)


def test_it_learns_and_says_which_words(run: glia.Run) -> None:
    assert run.recipe.model.model == "bag-gru"
    assert run.metrics["test"]["accuracy"] > 0.9
    assert {one["name"] for one in run.metrics["baselines"]} == {"majority class", "TF-IDF + linear model"}
    found = words_that_mattered(run.model, run.task, run.reader, "the plot is great and the end too", 1)
    assert max(found, key=lambda word: word.effect).text == "great"


def test_the_worst_rows_show_their_texts_and_words(run: glia.Run) -> None:
    entries = json.loads((run.folder / "predictions" / "worst.json").read_bytes())
    assert entries[0]["words"] and entries[0]["cells"]["review"].startswith(entries[0]["words"][0]["text"])
    page = (run.folder / "report.html").read_text("utf-8")
    assert "<mark" in page and "TF-IDF" in page


def test_predict_evaluate_export(run: glia.Run, tmp_path: Path) -> None:
    new = corpus(40, seed=1)
    new.write_csv(tmp_path / "new.csv")
    assert run.evaluate(tmp_path / "new.csv")["accuracy"] > 0.8
    told = run.predict(new)
    (tmp_path / "new.txt").write_text("\n".join(new["review"]), "utf-8")
    assert run.predict(tmp_path / "new.txt").equals(told) and told["row"].to_list() == list(range(40))
    assert run.predict("a great film with lovely music")["prediction"].to_list() == ["good"]
    path = run.export(tmp_path / "net.pt2")
    program = torch.export.load(path).module()
    tokens = run.reader.encode(new["review"].to_list())
    assert torch.allclose(program(tokens)[:, 1], torch.tensor(told["p_good"].to_list()), atol=1e-5)


def test_explained_on_the_command_line(run: glia.Run, tmp_path: Path) -> None:
    corpus(5, seed=2).write_csv(tmp_path / "new.csv")
    out = tmp_path / "out.csv"
    said = CliRunner().invoke(
        app, ["predict", str(run.folder), str(tmp_path / "new.csv"), "--out", str(out), "--explain"]
    )
    assert said.exit_code == 0, said.output
    words = pl.read_csv(out)["words"].to_list()
    assert all(any(word in cell for word in ("great", "lovely", "awful", "boring")) for cell in words)


@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_and_gone_on_with_it_is_the_same(tmp_path: Path, workers: int) -> None:
    corpus(90).write_csv(tmp_path / "t.csv")
    options = {
        "target": "label", "runs": tmp_path / "runs", "model": "bag", "epochs": 3, "batch_size": 8, "lr": 0.01,
        "workers": workers, "augment": "delete,swap", "baselines": False, "doctor": False, "threads": 1, "width": 8,
    }  # fmt: skip
    whole = glia.train(tmp_path / "t.csv", name="whole", **options)

    class Cut(Exception):
        pass

    def stop(session: Session, *_: object) -> tuple[Watcher, ...]:
        def watch(moment: Moment) -> None:
            if moment.step == 13:
                raise Cut

        return (watch,)

    with pytest.raises(Cut):
        glia.train(tmp_path / "t.csv", name="cut", begin=stop, checkpoint_s=0, **options)
    again = glia.resume(tmp_path / "runs" / "cut")
    for one, other in zip(whole.model.state_dict().values(), again.model.state_dict().values()):
        assert torch.equal(one, other)
