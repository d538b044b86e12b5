"""glia list, as a person meets it in a narrow terminal."""

import sys
from collections.abc import Callable

import pytest

from glia.catalog import entry as catalog
from glia.cli.list import short
from glia.cli.main import main

Glia = Callable[..., tuple[int, str, str]]


@pytest.fixture
def glia(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Glia:
    """``glia("list", "models")`` at 80 columns: (exit code, output, errors)."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["glia", *words])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize("kind", catalog.kinds())
@pytest.mark.parametrize("width", ["80", "140"])
def test_every_entry_is_listed(glia: Glia, monkeypatch: pytest.MonkeyPatch, kind: str, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    code, out, _ = glia("list", kind)
    assert code == 0 and max(map(len, out.splitlines())) <= int(width)
    words = " ".join(out.split())
    first = {line.split()[0] for line in out.splitlines() if line.strip()}
    for entry in catalog.entries(kind):
        assert entry.name in first
        assert entry.summary.split()[0] in words
        if entry.paper:
            assert all(word in words for word in entry.paper.split())


def test_models_are_grouped_with_their_sizes(glia: Glia) -> None:
    lines = glia("list", "models")[1].splitlines()
    headings = [line for line in lines if line.startswith("For ")]
    assert "For pictures" in headings and "For tables and others" in headings and len(headings) == len(set(headings))
    row = next(line for line in lines if line.startswith("resnet20 "))
    assert "270 k" in row and "20 layers" in row


def test_a_model_with_its_layers(glia: Glia) -> None:
    code, out, _ = glia("list", "models", "lenet5")
    assert code == 0 and max(len(line) for line in out.split("Layers for")[1].splitlines()) <= 80
    lines = out.splitlines()
    assert any(line.split() == ["c5", "Linear", "120", "48,120", "48", "k"] for line in lines)
    assert any(line.split() == ["total", "61,706", "416.5", "k"] for line in lines)
    # 117,600 + 240,000 + 48,000 + 10,080 + 840: two convolutions, three dense layers
    assert 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10 == 416_520
    larger = glia("list", "models", "lenet5", "--input", "1,48,48")[1]
    assert "Layers for an input of 1 x 48 x 48" in larger and "416.5 k" not in larger


def test_a_model_without_a_published_form(glia: Glia) -> None:
    code, out, _ = glia("list", "models", "resnet8")
    assert code == 0 and "--input" in out and "total" not in out
    assert "75,290" in glia("list", "models", "resnet8", "--input", "3,32,32")[1]


def test_other_entries_have_no_layers(glia: Glia) -> None:
    code, out, _ = glia("list", "losses", "mse")
    assert code == 0 and "Gauss 1809" in out and "total" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "models", "resnet81"], "unknown model 'resnet81'"),
        (["list", "models", "lenet5", "--input", "1,b"], "whole numbers"),
        (["list", "models", "lenet5", "--input", "32"], "channels,height,width"),
        (["list", "losses", "--input", "32"], "--input is of one model"),
    ],
)
def test_bad_input_is_one_line(glia: Glia, words: list[str], said: str) -> None:
    code, out, err = glia(*words)
    assert code == 2 and said in err and err.count("\n") == 1 and not out


def test_short_numbers() -> None:
    assert [short(n) for n in (7, 999, 61_706, 11_689_512, 1_814_073_344, 1_753_352_000_000)] == [
        "7", "999", "61.71 k", "11.69 M", "1.814 G", "1.753 T",
    ]  # fmt: skip
