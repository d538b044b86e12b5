"""Networks for texts: sequences of tokens."""

from math import inf

from glia.catalog.entry import Entry

_TRANSFORMER = "Vaswani et al. 2017, arXiv 1706.03762, table 3"
_BERT = "Devlin et al. 2018, arXiv 1810.04805"
_SMALL_BERT = "Turc et al. 2019, arXiv 1908.08962"
_GPT2 = "Radford et al. 2019, Language models are unsupervised multitask learners, table 2"
_T5 = "Raffel et al. 2020, arXiv 1910.10683"


def _entry(
    name: str, summary: str, paper: str, size: dict[str, int | float], form: tuple[int, int], parameters: int
) -> Entry:
    """One size of the family that its name begins with. form: vocabulary and longest text of the published weights.

    BERT is published without a head: no outputs, the pooled vector itself.
    """
    family = next(family for family in ("transformer", "bert", "gpt", "t5") if name.startswith(family))
    reads = family == "bert"
    published = {
        "inputs": form,
        "outputs": 0 if reads else form[0],
        "task": "classify" if reads else "language",
        "parameters": parameters,
    }
    facts = {"inputs": ("text",), "rows": (0, inf), "family": family, "size": size, "published": published}
    facts |= {"answers": "texts", "inputs": ("text", "pairs")} if family in ("transformer", "t5") else {}
    return Entry(name, f"glia.models.{family}:{family}", summary, paper, facts)


def _transformer(name: str, sizes: tuple[int, int, int], dropout: float, parameters: int, about: str) -> Entry:
    width, layers, heads = sizes
    summary = f"encoder and decoder, {about}: {layers} layers each, {width} wide"
    size = {"width": width, "layers": layers, "heads": heads, "dropout": dropout}
    return _entry(name, summary, _TRANSFORMER, size, (37_000, 512), parameters)


def _bert(name: str, sizes: tuple[int, int, int], parameters: int, paper: str = _SMALL_BERT) -> Entry:
    width, layers, heads = sizes
    summary = f"reads a text both ways to answer questions about it: {layers} layers, {width} wide"
    size = {"width": width, "layers": layers, "heads": heads, "dropout": 0.1, "positions": 512}
    return _entry(name, summary, paper, size, (30_522, 512), parameters)


def _gpt2(name: str, sizes: tuple[int, int, int], parameters: int) -> Entry:
    width, layers, heads = sizes
    summary = f"tells the next token: {layers} layers, {width} wide"
    size = {"width": width, "layers": layers, "heads": heads, "dropout": 0.1, "positions": 1024}
    return _entry(name, summary, _GPT2, size, (50_257, 1024), parameters)


def _gpt(name: str, sizes: tuple[int, int, int], form: tuple[int, int], parameters: int) -> Entry:
    """Sizes to train from nothing: their positions are those of the data."""
    width, layers, heads = sizes
    summary = f"tells the next token: {layers} layers, {width} wide, small enough to train from nothing"
    size = {"width": width, "layers": layers, "heads": heads, "dropout": 0.0}
    return _entry(name, summary, _GPT2, size, form, parameters)


def _t5(name: str, sizes: tuple[int, int, int], parameters: int) -> Entry:
    width, layers, heads = sizes
    summary = f"encoder and decoder with relative positions: {layers} layers each, {width} wide"
    size = {"width": width, "layers": layers, "heads": heads, "dropout": 0.1}
    return _entry(name, summary, _T5, size, (32_128, 512), parameters)


ENTRIES: tuple[Entry, ...] = (
    _gpt("gpt", (128, 4, 4), (65, 64), 809_856),
    _gpt("gpt-nano", (48, 3, 3), (50_257, 1024), 2_546_400),
    _gpt("gpt-micro", (128, 4, 4), (50_257, 1024), 7_357_312),
    _gpt("gpt-mini", (192, 6, 6), (50_257, 1024), 12_515_520),
    _gpt2("gpt2", (768, 12, 12), 124_439_808),
    _gpt2("gpt2-medium", (1024, 24, 16), 354_823_168),
    _gpt2("gpt2-large", (1280, 36, 20), 774_030_080),
    _gpt2("gpt2-xl", (1600, 48, 25), 1_557_611_200),
    _bert("bert-tiny", (128, 2, 2), 4_385_920),
    _bert("bert-mini", (256, 4, 4), 11_170_560),
    _bert("bert-small", (512, 4, 8), 28_763_648),
    _bert("bert-medium", (512, 8, 8), 41_373_184),
    _bert("bert-base", (768, 12, 12), 109_482_240, _BERT),
    _bert("bert-large", (1024, 24, 16), 335_141_888, _BERT),
    _transformer("transformer-tiny", (128, 2, 4), 0.1, 5_661_696, "small enough to train from nothing"),
    _transformer("transformer-small", (256, 3, 8), 0.1, 15_001_600, "what two cores train in an hour"),
    _transformer("transformer-base", (512, 6, 8), 0.1, 63_082_496, "as published"),
    _transformer("transformer-big", (1024, 6, 16), 0.3, 214_245_376, "as published"),
    _t5("t5-tiny", (256, 4, 4), 15_570_688),
    _t5("t5-small", (512, 6, 8), 60_506_624),
    _t5("t5-base", (768, 12, 12), 222_903_552),
    _t5("t5-large", (1024, 24, 16), 737_668_096),
)

ALIASES: dict[str, str] = {"transformer": "transformer-base", "bert": "bert-base", "t5": "t5-small"}
