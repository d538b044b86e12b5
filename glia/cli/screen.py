"""The terminal: what a name or a cell holds is shown, never obeyed."""

from collections.abc import Iterable

from rich import console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from glia.errors import printable


class Console(console.Console):
    """A console of rich on which text has no control signs: they could clear, colour or retitle a terminal, or type."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Its own controls and styles stand apart from the text, and stay."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            if control or text.isprintable():
                yield segment
            else:
                yield Segment("\n".join(map(printable, text.split("\n"))), style)
