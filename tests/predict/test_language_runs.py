"""Language models from a file to a run that writes; writing, and counts of n-grams against slow definitions."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

import glia
from glia.cli.main import app
from glia.data.corpus.reader import CorpusReader
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.data.texts.tokens import train_tokenizer
from glia.models.build import build
from glia.predict.ngrams import Ngrams
from glia.predict.writing import Taste, Teller, as_text, write
from glia.runs.checkpoint import latest
from glia.workbench import generate
from glia.workbench.generate import pieces

WORDS = "the cat sat on a mat and the dog ran to a log".split()
QUICK = {"epochs": 3, "context": 16, "width": 24, "batch_size": 32, "lr": 0.003, "doctor": False}


def story(lines: int = 350, seed: int = 0) -> str:
    draw = np.random.default_rng(seed)
    return "".join(" ".join(draw.choice(WORDS, 6)) + ".\n" for _ in range(lines))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[glia.Run, Path]:
    folder = tmp_path_factory.mktemp("language")
    (folder / "story.txt").write_text(story())
    settings = {**QUICK, "doctor": True, "epochs": 8}
    return glia.train(str(folder / "story.txt"), model="gpt", runs=folder / "runs", **settings), folder


def test_a_run_writes_and_its_page_says_how_well(trained: tuple[glia.Run, Path]) -> None:
    run, _ = trained
    test = run.metrics["test"]
    others = {one["name"]: one["test"] for one in run.metrics["baselines"]}
    assert list(others) == ["uniform", "unigram", "bigram", "trigram"]
    assert test["bits"] < others["unigram"]["bits"] < others["uniform"]["bits"]
    assert test["loss"] == pytest.approx(test["bits"] * math.log(2))
    assert test["perplexity"] == pytest.approx(math.exp(test["loss"]))
    assert test["bits_per_byte"] == pytest.approx(test["bits"])  # a character of this text is a byte
    assert others["uniform"]["bits"] == pytest.approx(math.log2(len(run.task.classes)))
    page = (run.folder / "report.html").read_text()
    assert "What it writes" in page and "Loss by place" in page and run.folder.joinpath("samples.json").is_file()
    assert not [one for one in run.findings if one["severity"] == "error"]


def test_the_loss_is_that_of_reading_the_test_text(trained: tuple[glia.Run, Path]) -> None:
    """From the text file alone, window by window."""
    run, folder = trained
    text = story()[-round(0.05 * len(story())) :]
    (folder / "test.txt").write_text(text)
    vocabulary = {sign: i for i, sign in enumerate(run.task.classes)}
    tokens = torch.tensor([vocabulary[sign] for sign in text])
    rows = tokens.unfold(0, 17, 16)
    with torch.no_grad():
        loss = F.cross_entropy(run.model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).item()
    assert run.metrics["test"]["loss"] == pytest.approx(loss, rel=1e-5)
    assert run.evaluate(str(folder / "test.txt"))["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_same_seed_writes_the_same_text(trained: tuple[glia.Run, Path]) -> None:
    run, _ = trained
    again = glia.open(run.folder)
    text = again.generate("the cat", tokens=60, seed=3)
    assert text == run.generate("the cat", tokens=60, seed=3) and len(text) == 60
    assert text != run.generate("the cat", tokens=60, seed=4)
    assert run.generate("the ", temperature=0, tokens=20, seed=1) == run.generate("the ", temperature=0, tokens=20)
    assert run.generate("the ", top_k=1, tokens=20) == run.generate("the ", temperature=0, tokens=20)
    first, second = ("".join(one) for one in pieces(run, "a ", tokens=30, count=2))
    assert first != second and first == run.generate("a ", tokens=30)
    for wrong in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"tokens": 0}):
        with pytest.raises(glia.GliaError):
            run.generate("a", **wrong)  # type: ignore[arg-type]


def test_the_command_line_writes_it_too(trained: tuple[glia.Run, Path]) -> None:
    run, folder = trained
    said = CliRunner().invoke(
        app, ["generate", str(run.folder), "--prompt", "the cat", "--tokens", "30", "--seed", "3"]
    )
    assert said.exit_code == 0 and said.output == "the cat" + run.generate("the cat", tokens=30, seed=3) + "\n"
    (folder / "lines.txt").write_text("the cat sat.\n\nzzzz xxxx qqqq.\n")
    frame = run.predict(str(folder / "lines.txt"), keep=True)
    assert frame["line"].to_list() == [1, 2, 3] and frame["tokens"].to_list() == [13, 1, 16]
    assert frame["perplexity"][2] > frame["perplexity"][0] and frame["text"][2] == "zzzz xxxx qqqq."


def test_a_line_is_as_likely_as_the_network_says(trained: tuple[glia.Run, Path]) -> None:
    """Short lines of unequal lengths together; one that is longer than the context, as it is read in halves."""
    run, folder = trained
    reader = run.reader
    assert isinstance(reader, CorpusReader)
    lines = ["a mat.", "the dog ran on", "the cat sat on a mat and the dog ran to a log."]
    (folder / "some.txt").write_text("\n".join(lines) + "\n")
    found = run.predict(str(folder / "some.txt"))["log_likelihood"].to_list()
    for line, got in zip(lines, found, strict=True):
        said = reader.encode("\n" + line + "\n").astype(np.int64).tolist()
        total, told = 0.0, 0
        while told < len(said) - 1:
            end = min(told + (16 if told == 0 else 8), len(said) - 1)
            start = max(0, end - 16)
            with torch.no_grad():
                shares = run.model(torch.tensor([said[start:end]])).log_softmax(-1)[0]
            total += sum(shares[place - start - 1, said[place]].item() for place in range(told + 1, end + 1))
            told = end
        assert got == pytest.approx(total, rel=1e-4)


def test_samples_change_nothing_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "story.txt").write_text(story(120))
    settings = {**QUICK, "model": "gpt", "dropout": 0.2, "baselines": False}
    with_samples = glia.train(str(tmp_path / "story.txt"), runs=tmp_path, name="one", **settings)
    assert [one["epoch"] for one in generate_samples(with_samples)] == [1, 2, 3]
    monkeypatch.setattr(generate, "sampled", lambda *_: ())
    without = glia.train(str(tmp_path / "story.txt"), runs=tmp_path, name="two", **settings)
    assert all(torch.equal(a, b) for a, b in zip(with_samples.model.parameters(), without.model.parameters()))


def generate_samples(run: glia.Run) -> list[dict[str, object]]:
    return list(run._folder.read_json(generate.NAME, []))


def test_a_run_that_was_cut_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class Cut(Exception):
        pass

    def cutting(session, folder, choices):  # type: ignore[no-untyped-def]
        def watch(moment: glia.Moment) -> None:
            if moment.step == 8:
                raise Cut

        return (watch,)

    (tmp_path / "story.txt").write_text(story(120))
    settings = {**QUICK, "model": "gru", "workers": 2, "baselines": False, "checkpoint_s": 0.0, "dropout": 0.1}
    whole = glia.train(str(tmp_path / "story.txt"), runs=tmp_path, name="whole", **{**settings, "workers": 0})
    with pytest.raises(Cut):
        glia.train(str(tmp_path / "story.txt"), runs=tmp_path, name="cut", begin=cutting, **settings)
    state = latest(tmp_path / "cut")
    assert state is not None and 0 < state["progress"]["step"] <= 8
    resumed = glia.resume(tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), resumed.model.parameters()))
    assert generate_samples(whole) == generate_samples(resumed)
    assert resumed.generate("the", tokens=40) == whole.generate("the", tokens=40)


@pytest.mark.parametrize("name", ["gpt", "lstm", "gru", "rnn"])
def test_the_cache_changes_nothing(name: str) -> None:
    """Token by token the same logits as of the whole text so far."""
    task = Task("language", ("next",), tuple(map(str, range(20))))
    net = build(name, TextFacts(20, 30, 0, 1), task, seed=1, width=24).eval()
    said = [5, 6, 7]
    said += write(net, said, 25, 30, taste=Taste(1.0), seed=0, never=[0, 1])
    assert len(set(said)) > 5 and not set(said) & {0, 1}
    teller = Teller(net, 30)
    for end in (3, 4, 5, 9, 28):
        with torch.no_grad():
            want = net(torch.tensor([said[:end]]))[0, -1]
        assert torch.allclose(teller.after(said[:end]), want, atol=1e-5)


def test_a_full_context_forgets_the_older_half() -> None:
    task = Task("language", ("next",), tuple(map(str, range(20))))
    net = build("gpt", TextFacts(20, 8, 0, 1), task, seed=1, width=16).eval()
    teller, said = Teller(net, 8), list(range(4, 12))
    for token in (12, 13, 14):
        told = teller.after(said)
        read = said[-4:] if len(said) == 8 else said[4:]
        with torch.no_grad():
            assert torch.allclose(told, net(torch.tensor([read]))[0, -1], atol=1e-5)
        said.append(token)


def test_top_k_and_top_p_keep_the_likeliest() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert Taste(1.0).shares(logits).tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05])
    assert Taste(1.0, top_k=2).shares(logits).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert Taste(1.0, top_p=0.7).shares(logits).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert Taste(1.0, top_p=0.1).shares(logits).tolist() == pytest.approx([1, 0, 0, 0])
    assert Taste(0.5).shares(logits)[0].item() == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025))
    drawn = Counter(Taste(1.0).pick(logits, torch.Generator().manual_seed(i)) for i in range(400))
    assert abs(drawn[0] / 400 - 0.5) < 0.08


def test_text_comes_in_whole_characters() -> None:
    tokens = train_tokenizer("bpe", ["été \u4e2d\u6587 \U0001f600 and so on"] * 3, 262)
    text = "\u4e2d \U0001f600été \u6587!"
    came = list(as_text(tokens.encode([text])[0], tokens))
    assert "".join(came) == text and not any("\ufffd" in piece for piece in came) and len(came) > 5


def test_n_grams_are_those_of_witten_and_bell() -> None:
    draw = np.random.default_rng(0)
    train, text, size = draw.integers(0, 4, 60), draw.integers(0, 5, 20), 5

    def share(history: tuple[int, ...], token: int, known: bool) -> float:
        if not known:
            return 1 / size
        n = len(history)
        lower = share(history[1:], token, True) if n else share((), token, False)
        after = [int(train[i + n]) for i in range(len(train) - n) if tuple(train[i : i + n]) == history]
        if not after:
            return lower
        kinds = len(set(after))
        return (after.count(token) + kinds * lower) / (len(after) + kinds)

    found = Ngrams(train, size).shares(text)
    assert len(found) == 4 and found[0].tolist() == [0.2] * 18
    for n, shares in enumerate(found[1:]):
        want = [share(tuple(text[i - n : i]), int(text[i]), True) for i in range(2, len(text))]
        assert shares.tolist() == pytest.approx(want)
