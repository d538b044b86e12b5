"""Vision transformers."""

from math import inf

from glia.catalog.entry import Entry

_PAPER = "Dosovitskiy et al. 2021, arXiv 2010.11929, table 1"
_DEIT = "Touvron et al. 2021, arXiv 2012.12877, table 1"


def _vit(name: str, paper: str, sizes: tuple[int, int, int], parameters: int) -> Entry:
    width, layers, heads = sizes
    facts = {
        "inputs": ("image",),
        "rows": (0, inf),
        "family": "vit",
        "size": {"width": width, "layers": layers, "heads": heads},
        "published": {"inputs": (3, 224, 224), "outputs": 1000, "task": "classify", "parameters": parameters},
    }
    summary = f"a transformer over patches of a picture: {layers} layers, {width} wide"
    return Entry(name, "glia.models.vit:vit", summary, paper, facts)


ENTRIES: tuple[Entry, ...] = (
    _vit("vit-tiny", _DEIT, (192, 12, 3), 5_717_416),
    _vit("vit-small", _DEIT, (384, 12, 6), 22_050_664),
    _vit("vit-base", _PAPER, (768, 12, 12), 86_567_656),
    _vit("vit-large", _PAPER, (1024, 24, 16), 304_326_632),
)

ALIASES: dict[str, str] = {"vit": "vit-base"}
