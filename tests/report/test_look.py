"""The page in a browser: no errors, nothing blocked, nothing wider than the screen, numbers under the pointer."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runs import KINDS, hostile, penguins

from glia.report.page import render

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def visit(browser: Any, folder: Path, width: int = 1200, scheme: str = "light") -> tuple[Any, list[str]]:
    """The open page of a run, and a list that gathers what the browser complains of or asks the network for."""
    file = folder / "report.html"
    file.write_text(render(folder), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on(
        "request",
        lambda request: complaints.extend([] if request.url.startswith(("file:", "data:")) else [request.url]),
    )
    page.goto(file.as_uri())
    return page, complaints


@pytest.mark.parametrize("kind", KINDS)
def test_fits_the_screen_without_complaints(kind: str, browser: Any, tmp_path: Path) -> None:
    page, complaints = visit(browser, KINDS[kind](tmp_path / kind))
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert complaints == []
    page.close()


def test_hostile_names_do_nothing_when_touched(browser: Any, tmp_path: Path) -> None:
    page, complaints = visit(browser, hostile(tmp_path / "run"))
    assert page.locator("script").count() == 2
    page.locator("td[data-tip]").first.hover()
    assert "<script>alert(1)</script>" in page.locator("#tip").inner_text()
    assert page.locator("#tip script, #tip img, #tip svg").count() == 0
    assert complaints == []
    page.close()


def test_numbers_under_the_pointer_and_by_keys(browser: Any, tmp_path: Path) -> None:
    folder = penguins(tmp_path / "run")
    page, complaints = visit(browser, folder)
    plot = page.locator("svg[data-plot=epoch-loss]")
    assert not page.locator("#tip").is_visible()
    plot.hover()
    words = (page.locator("#tip").text_content() or "").split()
    assert words[0] == "epoch" and words[2] == "train" and words[4] == "valid"
    page.mouse.move(5, 5)
    assert not page.locator("#tip").is_visible()
    plot.focus()
    page.keyboard.press("ArrowRight")
    before = page.locator("#tip p").inner_text()
    page.keyboard.press("ArrowRight")
    first, second = (int(text.split()[1]) for text in (before, page.locator("#tip p").inner_text()))
    assert second == first + 1
    assert complaints == []
    page.close()


COLOURS = """(node) => {
    const seen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const plain = (colour) => {
        seen.fillStyle = colour;
        seen.fillRect(0, 0, 1, 1);
        return [...seen.getImageData(0, 0, 1, 1).data];
    };
    const style = getComputedStyle(node);
    const ink = plain(node instanceof SVGElement ? style.fill : style.color);
    while (getComputedStyle(node).backgroundColor === "rgba(0, 0, 0, 0)") node = node.parentElement;
    return [ink, plain(getComputedStyle(node).backgroundColor)];
}"""


def luminance(colour: list[int]) -> float:
    """WCAG 2 relative luminance of red, green, blue from 0 to 255."""
    shares = [part / 255 for part in colour[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


CHOSEN = (".why", ".sub", ".answer", ".label", ".note", "thead th", "tbody td", ".pill", ".key", ".best", ".lead")
CHOSEN += (".h9", ".h10", ".h1", ".h0", "nav a", "summary", ".plot text")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(scheme: str, browser: Any, tmp_path: Path) -> None:
    """4.5 to 1, as WCAG 2.1 AA asks (1.4.3)."""
    page, _ = visit(browser, penguins(tmp_path / "run"), scheme=scheme)
    for chosen in CHOSEN:
        for place in page.locator(chosen).all()[:4]:
            ink, ground = place.evaluate(COLOURS)
            dark, light = sorted((luminance(ink), luminance(ground)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (chosen, ink, ground)
    page.close()
