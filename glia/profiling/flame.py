"""The flame: a step as a picture. Time runs to the right; under forward and backward pass stand their modules."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

from glia.profiling import words
from glia.profiling.modules import Part
from glia.report.svg import element, join

if TYPE_CHECKING:
    from glia.profiling.profile import Profile

WIDTH, HIGH, GAP = 1060.0, 30.0, 2.0
DEEPEST = 8
NARROWEST, WORDY = 1.2, 34.0  # pixels of a box that is drawn, and of one with text
LETTER = 7.0
COLOURS = {"data": "s7", "forward": "s1", "loss": "s5", "backward": "s4", "replayed": "s8", "optimiser": "s3"}
WAYS = {"forward": "forward", "backward": "backward", "total": "both ways, as the step is written"}
Direction = Literal["forward", "backward", "total"]


@dataclass(frozen=True)
class Box:
    """A rectangle with a name; hot: 0 to 1, its own share of the whole step."""

    x: float
    width: float
    depth: int
    name: str
    told: str
    colour: str
    hot: float


def draw(found: "Profile") -> Markup:
    """The whole picture."""
    boxes = list(_boxes(found))
    depth = 1 + max(box.depth for box in boxes)
    shapes = [_shape(box) for box in boxes]
    title = element("title", f"Where the {words.time(found.step)} of a step go", id="flame-title")
    return element(
        "svg",
        title + join(shapes),
        class_="flame",
        viewBox=f"0 0 {WIDTH:.0f} {depth * (HIGH + GAP):.0f}",
        role="img",
        aria_labelledby="flame-title",
    )


def _boxes(found: "Profile") -> Iterator[Box]:
    x = 0.0
    # As the seconds on copies are not quite those of the live steps, modules share out what their phase took there.
    order = ["data", "forward", "loss", "backward", "replayed", "optimiser"]
    shares = found.shares
    for phase in [*order, *(name for name in shares if name not in order)]:
        if phase not in shares:
            continue
        width = WIDTH * shares[phase]
        told = f"{phase}: {words.time(found.phases[phase])}, {100 * shares[phase]:.1f} % of a step; {words.SAID[phase]}"
        yield Box(x, width, 0, phase, told, COLOURS.get(phase, "muted"), 0.55)
        parts = [part for part in found.parts if part.kind]
        if phase == "forward":
            yield from _under(parts, "forward", x, width, 1, COLOURS[phase], shares[phase])
        elif phase == "replayed":  # in one, and of the step as it is written
            yield from _under(parts, "total", x, width, 1, COLOURS[phase], shares[phase])
        elif phase == "backward":
            yield from _under(parts, "backward", x, width, 1, COLOURS[phase], shares[phase])
        x += width


def _under(
    parts: list[Part], way: Direction, x: float, width: float, depth: int, colour: str, share: float
) -> Iterator[Box]:
    """Modules side by side, in the order in which they run; `share` of the step is what they share out."""
    whole = sum(getattr(part, way) for part in parts)
    if whole <= 0 or depth > DEEPEST:
        return
    own_of = "own" if way == "total" else f"{way}_own"
    for part in reversed(parts) if way == "backward" else parts:
        taken = getattr(part, way) / whole
        wide = width * taken
        if wide < NARROWEST:
            x += wide
            continue
        own = getattr(part, own_of) / whole * share
        told = f"{part.name} ({part.kind}), {WAYS[way]}: {100 * share * taken:.1f} % of a step"
        told += f", {100 * own:.1f} % by itself"
        if part.flops and part.own:
            told += f"; {part.flops / part.own / 1e9:.0f} GFLOP/s in both directions"
        yield Box(x, wide, depth, f"{part.name.rpartition('.')[2]} {part.kind}", told, colour, own)
        inner = getattr(part, way) - getattr(part, own_of)
        if part.parts and getattr(part, way) > 0:
            below = inner / getattr(part, way)
            yield from _under(part.parts, way, x, wide * below, depth + 1, colour, share * taken * below)
        x += wide


def _shape(box: Box) -> Markup:
    y = box.depth * (HIGH + GAP)
    shade = f"t{min(9, max(1, round(10 * min(1.0, 0.12 + 2.2 * box.hot))))}"
    rect = element(
        "rect", class_=f"{box.colour} {shade}", x=box.x, y=y, width=max(box.width - 1.0, 0.6), height=HIGH, rx=4.0
    )
    letters = int((box.width - 12) / LETTER)
    text = Markup("")
    if box.width >= WORDY and letters >= 3:
        said = box.name if len(box.name) <= letters else box.name[: letters - 1] + "…"
        text = element("text", said, x=box.x + 7, y=y + HIGH / 2, dy="0.35em")
    return element("g", element("title", box.told) + rect + text)
