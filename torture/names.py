"""Hostile names: of columns, classes, files and runs, through a real run into its pages, tables and folders."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from glia.data.tables.read import stream
from glia.errors import GliaError
from glia.predict.rows import write_rows
from glia.runs.folder import RunFolder, plain_name
from glia.torture.result import Result

NAME = "names"
PROMISE = "Names out of data stay text in every page and table, and no name of a run leads out of its folder."
SMALL, LARGE = 200, 1_000

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(2)</script>",
    "</style><b>",
    "<svg onload=alert(3)>",
    "<math><mtext></mtext><mglyph><svg><style><img src onerror=alert(4)></style></svg></math>",
    "javascript:alert(5)",
    "' onmouseover='alert(6)",
    "<!--<script>",
    "]]><script>alert(7)</script>",
    "{{ 7331 * 7 }}",
    "{% raw %}{{ ''.__class__ }}",
    "${alert(8)}",
    "<%= 7331 * 7 %>",
    "&lt;script&gt;alert(9)&lt;/script&gt;",
    "\u2028alert(10)",
    "\u202etxt.exe\u202c",
    "<iframe srcdoc='<script>alert(11)</script>'>",
    "<a href=javascript:alert(12)>x</a>",
    "<base href=//x>",
    "<meta http-equiv=refresh content='0;url=//example.org'>",
    "<style>*{background:url(//example.org/x)}</style>",
    "\x1b[31mred",
    "expression(alert(13))",
    "@import '//example.org/x.css';",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "a\u0000b".replace("\x00", "\u2400"),
    "<object data=//example.org/x>",
    "x" * 3000,
    "</title><script>alert(14)</script>",
    "<input autofocus onfocus=alert(15)>",
    "`alert(16)`",
    "\\u003cscript\\u003e",
    "<xmp><script>alert(17)</script>",
)
FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "\t=1",
    "＝1+1",
    '=HYPERLINK("http://x")',
    "'=1",
    "''=1",
    "'",
    "-5",
    "+4.5e3",
    "'-5",
    "-x",
    "1-1",
    "=",
    "a=b",
    "-",
    "'＋1",
)
ROADS = (
    "..",
    "../x",
    "../../etc/cron.d/x",
    "/tmp/x",
    "/etc/passwd",
    "a/../../x",
    "a/b",
    "a\\b",
    "..\\..\\x",
    "C:\\x",
    "C:",
    "//host/x",
    "\\\\host\\x",
    "a\0b",
    "\0",
    "CON",
    "con",
    "nul.txt",
    "LPT1",
    "aux",
    "COM9.csv",
    "",
    " ",
    ".",
    "...",
    "a.",
    "a ",
    " a",
    "~",
    "~root",
    "$HOME",
    "%2e%2e%2fx",
    "%252e%252e%252fx",
    "..%c0%af",
    "\u202ea",
    "\u2024\u2024/x",
    "．．/x",
    "x" * 300,
    "x" * 65,
    "-rf",
    "--runs=/x",
    "a\nb",
    "a\rb",
    "a:b",
    "a*b",
    "a?b",
    "a|b",
    "a;b",
    "a&b",
    "`x`",
    "$(x)",
    ".git",
    ".lock",
    "a" + "/" * 200,
    "file:///x",
    "\u0130",
    "ａ",
    "a\u0301",
    "\ud7ff",
    "/dev/null",
    "/proc/self/cwd/x",
    "../" * 50 + "x",
)


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """Half of `count` names go through a real run and its pages, a quarter through tables, a quarter make runs."""
    began, draw = time.monotonic(), random.Random(count)
    failed: list[str] = []
    shown = drawn(MARKUP, count // 2, draw)
    tell(f"{len(shown)} names through a run")
    pages = written(folder / "real", shown)
    for page in pages:
        failed += [f"{page.name}: {wrong}" for wrong in page_faults(page.read_text("utf-8"))]
    tell("a browser looks at the pages")
    seen = looked_at(pages)
    failed += seen or []
    cells = drawn(FORMULAS + MARKUP, count // 4, draw)
    failed += table_faults(cells, folder / "tables")
    roads = drawn(ROADS, count // 4, draw)
    failed += road_faults(roads, folder / "roads")
    figures = {"pages": str(len(pages)), "browser": "none" if seen is None else "chromium"}
    tried = len(shown) + len(cells) + len(roads)
    return Result(NAME, PROMISE, tried, tuple(failed), time.monotonic() - began, figures)


def drawn(names: tuple[str, ...], count: int, draw: random.Random) -> list[str]:
    """So many different names: those given, then pairs of them."""
    found = dict.fromkeys(names[:count])
    while len(found) < count:
        first, second = draw.choice(names), draw.choice(names)
        found[f"{first[:200]}{draw.choice(' -_')}{second[:200]}"] = None
    return list(found)


def written(folder: Path, names: list[str]) -> list[Path]:
    """The pages of runs whose columns, classes, cells and files have those names."""
    folder.mkdir(parents=True)
    third = len(names) // 3
    columns, classes, cells = names[:third], names[third : third + 8], names[third + 8 :] or names
    draw = random.Random(5)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "<script>alert('cells')</script>", "<b onclick=alert('y')>y"])
        for row in range(96):
            place = classes[row % len(classes)]
            numbers = [f"{draw.random() + (row % len(classes)):.3f}" for _ in columns]
            writer.writerow([*numbers, cells[row // 2 % len(cells)][:500], place])
    for row, name in enumerate([*classes[:3], "\x1b[31mred"]):
        shown = folder / "photos" / name.replace("/", "\u2215")[:60]
        shown.mkdir(parents=True)
        for number in range(8):
            file_name = f"{number}{cells[(row * 8 + number) % len(cells)].replace('/', chr(0x2215))[:50]}.png"
            Image.new("RGB", (12, 12), (60 * row, number, 90)).save(shown / file_name)
    quiet = ("epochs=1", "lr=0.01", "baselines=false", "--force", "trial_time=0")
    _glia(
        folder,
        "train",
        "rows.csv",
        "--target",
        "<b onclick=alert('y')>y",
        "model=mlp",
        "hidden=4",
        "--name",
        "t",
        *quiet,
    )
    _glia(folder, "train", "photos", "model=lenet5", "--name", "p", *quiet)
    _glia(folder, "trace", "runs/t", "--row", "1", "--html", "trace.html")
    return [folder / "runs" / "t" / "report.html", folder / "runs" / "p" / "report.html", folder / "trace.html"]


def _glia(folder: Path, *words: str) -> None:
    code = "from glia.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        raise GliaError(f"glia {words[0]} failed", got=done.stderr[-300:])
    if "\x1b" in done.stdout + done.stderr:
        raise GliaError(f"glia {words[0]} gave a sign of a name to the terminal that it would act on")


class _Page(HTMLParser):
    """What a page has that could act."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts: list[str | None] = []
        self.wrong: list[str] = []
        self.policy = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self.scripts.append(given.get("type"))
        if tag == "meta" and (given.get("http-equiv") or "").lower() == "content-security-policy":
            self.policy = given.get("content") or ""
        if tag in ("iframe", "object", "embed", "base", "form", "foreignobject", "math", "input", "xmp", "frame"):
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcset", "srcdoc", "formaction", "action"):
                self.wrong.append(f"{tag} {name}={value}")
            if name in ("href", "src", "xlink:href", "data") and not (value or "").startswith(
                ("#", "data:image/", "data:,")
            ):
                self.wrong.append(f"{tag} {name}={value}")


def page_faults(text: str) -> Iterator[str]:
    """What is wrong with a page, as a parser sees it."""
    page = _Page(text)
    yield from page.wrong
    if page.scripts not in ([], ["application/json", None]):
        yield f"{len(page.scripts)} scripts"
    if not page.policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-") or "unsafe" in page.policy:
        yield f"its policy is {page.policy[:60]!r}"
    if str(7331 * 7) in text:
        yield "a template in a name was worked out"


def looked_at(pages: list[Path]) -> list[str] | None:
    """What a browser complains of when it opens the pages and what is put into them by hand; None without a browser."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    failed: list[str] = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for path in pages:
            failed += [f"{path.parent.name}/{path.name}: {one}" for one in _complaints(browser, path, touch=True)]
            broken = path.with_name(f"broken-{path.name}")
            broken.write_text(injected(path.read_text("utf-8")), "utf-8")
            heard = _complaints(browser, broken, touch=False)
            ran = [one for one in heard if one.startswith(("dialog", "request", "ran"))]
            failed += [f"{path.parent.name}/{path.name}: in spite of its policy {one}" for one in ran]
            if not any("Content Security Policy" in one for one in heard):
                failed.append(f"{path.parent.name}/{path.name}: its policy did not hold back what was put in")
        browser.close()
    return failed


def injected(text: str) -> str:
    """A page with what an attacker would like to have in it."""
    evil = (
        "<script>window.ran=1;alert('ran')</script><img src=x onerror=\"window.ran=1;alert('ran')\">"
        "<script src='http://127.0.0.1:9/x.js'></script><img src='http://127.0.0.1:9/x.png'>"
        "<style>body{background:url(http://127.0.0.1:9/y.png)}</style><iframe src='http://127.0.0.1:9/'></iframe>"
    )
    return text.replace("</main>", f"{evil}</main>", 1)


def _complaints(browser: Any, path: Path, *, touch: bool) -> list[str]:
    heard: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("console", lambda message: heard.append(f"console {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error {error}"))

    def dismiss(dialog: Any) -> None:
        heard.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def answered(answer: Any) -> None:
        if not answer.url.startswith(("file:", "data:")):
            heard.append(f"request {answer.url}")

    page.on("dialog", dismiss)
    page.on("response", answered)
    page.goto(path.as_uri())
    if touch:
        for node in page.locator("[data-tip], summary").all()[:12]:
            node.hover(force=True, timeout=2000) if node.is_visible() else None
        count = page.evaluate("document.querySelectorAll('script').length")
        heard += [f"{count} scripts"] if count not in (0, 2) else []
        acts = "[...document.querySelectorAll('*')].some(n => [...n.attributes].some(a => a.name.startsWith('on')))"
        heard += ["an event handler"] if page.evaluate(acts) else []
    if page.evaluate("window.ran === 1"):
        heard.append("ran")
    page.close()
    return heard


def table_faults(cells: list[str], folder: Path) -> Iterator[str]:
    """Cells to CSV and TSV, where none may begin as a formula, and back, where each must be as it was."""
    folder.mkdir(parents=True)
    cells = [cell.strip() or "x" for cell in cells]
    frame = pl.DataFrame({"row": list(range(len(cells))), "=cell": cells, "n": [-1.5] * len(cells)})
    for suffix, separator in ((".csv", ","), (".tsv", "\t")):
        path = folder / f"cells{suffix}"
        write_rows(iter([frame]), path)
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file, delimiter=separator):
                for cell in row:
                    if cell[:1] in tuple("=+-@\t\r＝＋－＠") and not _is_number(cell):
                        yield f"{suffix} cell {cell[:40]!r}"
        again = pl.concat([piece.frame for piece in stream(path)])
        if again.columns != frame.columns:
            yield f"{suffix} names came back as {again.columns}"
            continue
        for was, now in zip(cells, again["=cell"].to_list(), strict=True):
            if was != now and not (now is None and was in ("-", "?")):
                yield f"{suffix} {was[:40]!r} came back as {str(now)[:40]!r}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def road_faults(roads: list[str], folder: Path) -> Iterator[str]:
    """Each name as that of a run, and made plain as that of a source; nothing but the runs folder may change."""
    root = folder / "runs"
    (folder / "outside").mkdir(parents=True)
    root.mkdir()
    (root / "led").symlink_to(folder / "outside")
    before = sorted(os.listdir(folder))
    for road in [*roads, "led"]:
        for name in (road, plain_name(road)):
            try:
                made = RunFolder.create(root, name).path
            except (GliaError, OSError) as error:
                if not isinstance(error, GliaError):
                    yield f"{json.dumps(name)[:60]}: {type(error).__name__}"
                continue
            if made.resolve().parent != root.resolve():
                yield f"{json.dumps(name)[:60]} led to {made}"
        if plain_name(road) != plain_name(plain_name(road)):
            yield f"{json.dumps(road)[:60]} is not plain"
    if sorted(os.listdir(folder)) != before or os.listdir(folder / "outside"):
        yield "something outside changed"
