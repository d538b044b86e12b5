"""Translations from a file to a run, its page and a file of lines; measures are sacrebleu's."""

import json
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import sacrebleu
import torch
from torch.nn import functional as F

import glia
from glia.data.batches import Batch
from glia.predict.translation import measured
from glia.report.translation import attention_maps
from glia.training.translate import translating
from glia.workbench.halt import Stopped

WORDS = {"one": "eins", "two": "zwei", "old": "alte", "dog": "Hund", "cat": "Katze", "sees": "sieht", "eats": "frisst"}


def pairs(count: int) -> list[tuple[str, str]]:
    rng, rows = np.random.default_rng(0), dict[str, str]()
    while len(rows) < count:
        words = rng.choice(list(WORDS), int(rng.integers(3, 7)))
        rows[" ".join(words)] = " ".join(WORDS[word] for word in words)
    return list(rows.items())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[glia.Run, Path]:
    folder = tmp_path_factory.mktemp("translate")
    pl.DataFrame(pairs(400), schema=["en", "de"], orient="row").write_csv(folder / "pairs.tsv", separator="\t")
    source = str(folder / "pairs.tsv")
    return glia.train(source, runs=folder / "runs", model="seq2seq", epochs=10, tokenizer="words", width=64), folder


def test_a_run_beats_the_nearest_text_and_its_page_says_so(trained: tuple[glia.Run, Path]) -> None:
    run, _ = trained
    test = run.metrics["test"]
    others = {one["name"]: one["test"]["bleu"] for one in run.metrics["baselines"]}
    assert set(others) == {"copy the source", "nearest training text, TF-IDF"} and others["copy the source"] < 5
    assert list(test)[0] == "bleu" and test["bleu"] > 1.5 * max(others.values())
    assert test["perplexity"] == pytest.approx(np.exp(test["loss"]))
    page = (run.folder / "report.html").read_text()
    assert "Translations by length" in page and "looks at" in page and "Yes, it pays here." in page
    worst = json.loads((run.folder / "predictions" / "worst.json").read_text())
    scores = [float(one["cells"]["chrF"]) for one in worst]
    assert len(worst) == 12 and scores == sorted(scores)
    one = worst[0]
    alone = sacrebleu.sentence_chrf(one["predicted"], [one["target"]]).score
    assert scores[0] == pytest.approx(alone, abs=0.06)
    curves = json.loads((run.folder / "curves.json").read_text())["test"]
    assert len(attention_maps(curves)) == 4
    assert attention_maps({"attention": [{"source": ["a"], "said": ["b"], "weights": [[]]}]}) == []


def test_a_file_becomes_a_file_line_by_line(trained: tuple[glia.Run, Path]) -> None:
    run, folder = trained
    (folder / "new.txt").write_text("one old dog sees two cat\n\n  \ncat eats\n")
    again = glia.open(run.folder)
    assert again.predict_file(folder / "new.txt", folder / "new.de", beam=2) == 4
    lines = (folder / "new.de").read_text().split("\n")
    assert len(lines) == 5 and lines[1] == lines[2] == lines[4] == "" and lines[0] and lines[3]
    frame = again.predict(["one old dog sees two cat", "cat eats"], beam=2, keep=True)
    assert frame.columns == ["row", "text", "prediction"] and frame["prediction"].to_list() == [lines[0], lines[3]]
    with pytest.raises(glia.GliaError, match="no single file"):
        again.export(folder / "model.onnx")


def test_evaluation_is_that_of_the_run(trained: tuple[glia.Run, Path]) -> None:
    run, folder = trained
    data = glia.prepare(str(folder / "pairs.tsv"), tokenizer="words")
    test = data.test
    assert test is not None
    for place, side in (("en", test.inputs), ("de", test.targets)):
        (folder / f"test.{place}").write_text("".join(f"{text}\n" for text in side.texts))  # type: ignore[union-attr]
    figures = run.evaluate(f"{folder / 'test.en'},{folder / 'test.de'}")
    for key in ("bleu", "chrf", "perplexity", "loss"):
        assert figures[key] == pytest.approx(run.metrics["test"][key], rel=1e-4)


def test_measures_are_those_of_sacrebleu() -> None:
    said = ["the cat sat on the mat", "a dog ran", "nothing alike here at all"]
    wanted = ["the cat is on the mat", "a dog ran off", "something else was said there"]
    found = measured(said, wanted)
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(said, [wanted]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(said, [wanted]).score)
    assert 0 < found["bleu_error"] < 50


def test_the_loss_is_that_of_torch_and_is_smoothed_in_training_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 9, generator=generator)
    targets = torch.tensor([[2, 5, 6, 7, 3], [2, 4, 3, 0, 0], [2, 8, 8, 3, 0]])

    class Fixed(torch.nn.Module):
        def forward(self, source: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
            assert torch.equal(given, targets[:, :-1])
            return logits

    net, step = Fixed(), translating(0, 0.1)
    batch = Batch(targets, targets, torch.arange(3))
    flat, wanted = logits.flatten(0, 1), targets[:, 1:].flatten()
    smoothed = F.cross_entropy(flat, wanted, ignore_index=0, label_smoothing=0.1)
    plain = F.cross_entropy(flat, wanted, ignore_index=0)
    outcome = step(net.train(), batch)
    assert isinstance(outcome, tuple) and outcome.rows == 9
    torch.testing.assert_close(outcome.loss, smoothed)
    assert outcome.metric is not None and outcome.metric.item() == pytest.approx(9 * plain.item(), rel=1e-5)
    judged = step(net.eval(), batch)
    assert isinstance(judged, tuple)
    torch.testing.assert_close(judged.loss, plain)


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    frame = pl.DataFrame(pairs(60), schema=["en", "de"], orient="row")
    settings = {"task": "translate", "epochs": 2, "lr": 1e-3, "doctor": False, "baselines": False, "runs": tmp_path}
    whole = glia.train(frame, name="whole", **settings)

    def stop(session: object, folder: object, choices: object) -> tuple[object, ...]:
        def watch(moment: object) -> None:
            if moment.step == 5:  # type: ignore[attr-defined]
                signal.raise_signal(signal.SIGINT)

        return (watch,)

    with pytest.raises(Stopped):
        glia.train(frame, name="cut", begin=stop, checkpoint_s=0.0, **settings)
    cut = glia.resume(tmp_path / "cut", source=frame)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, cut.model.state_dict()[key])
