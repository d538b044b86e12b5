"""From any source to Prepared, and back from a run's record to the Reader that made it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glia.data.corpus.prepare import SHARES, is_corpus_source, prepare_corpus
from glia.data.corpus.reader import CorpusReader
from glia.data.forecast.prepare import prepare_forecast
from glia.data.forecast.reader import ForecastReader
from glia.data.given import GivenReader
from glia.data.images.prepare import is_image_source, prepare_images
from glia.data.images.reader import ImageReader
from glia.data.pairs.prepare import is_pair_source, prepare_pairs
from glia.data.pairs.reader import PairReader
from glia.data.pairs.source import two_files
from glia.data.prepared import Prepared, Reader
from glia.data.series.prepare import is_series_source, prepare_series
from glia.data.series.reader import SeriesReader
from glia.data.sound.prepare import prepare_sound
from glia.data.sound.reader import SoundReader
from glia.data.sound.source import is_sound_source
from glia.data.tables.prepare import prepare_table
from glia.data.tables.reader import TableReader
from glia.data.texts.prepare import is_text_source, prepare_texts
from glia.data.texts.reader import TextReader
from glia.data.video.prepare import prepare_video
from glia.data.video.reader import VideoReader
from glia.data.video.source import is_video_source
from glia.errors import GliaError, unknown
from glia.models.sound import measured
from glia.recipe import Data, Recipe


@dataclass(frozen=True)
class Kind:
    """A kind of data. fits: do these settings and their source mean it? Tried in order, where none was named.

    usual: settings that are other than the recipe's own where nobody set them.
    """

    fits: Callable[[Data], bool]
    prepare: Callable[[Data, int], Prepared]
    usual: dict[str, Any] = field(default_factory=dict)


KINDS: dict[str, Kind] = {
    "series": Kind(is_series_source, prepare_series),
    "video": Kind(lambda data: is_video_source(data.source, data.limits), prepare_video),
    "image": Kind(lambda data: is_image_source(data.source, data.limits), prepare_images),
    "sound": Kind(
        lambda data: is_sound_source(data.source, data.limits), lambda data, seed: measured(prepare_sound(data, seed))
    ),
    "forecast": Kind(lambda data: data.horizon is not None, prepare_forecast),
    "pairs": Kind(is_pair_source, prepare_pairs),
    "text": Kind(is_text_source, prepare_texts),
    "corpus": Kind(is_corpus_source, prepare_corpus, SHARES),
    "table": Kind(lambda data: True, prepare_table),
}
READERS: dict[str, Any] = {
    "table": TableReader,
    "image": ImageReader,
    "video": VideoReader,
    "sound": SoundReader,
    "tensor": GivenReader,
    "text": TextReader,
    "forecast": ForecastReader,
    "pairs": PairReader,
    "series": SeriesReader,
    "corpus": CorpusReader,
}


def prepare(source: Any = None, recipe: Recipe | None = None, **settings: Any) -> Prepared:
    """Read a source, divide it, fit the preparation on the training rows.

    source: CSV, TSV, Parquet, Arrow or JSON-lines file; a folder of pictures, of sounds or of folders of frames, `.npz`
    or `.npy` arrays; the name of a set bundled with scikit-learn; a polars or pandas frame; arrays. settings: names of
    `Recipe`.
    Example: ``glia.prepare("titanic.csv", target="survived")``
    """
    recipe = (recipe or Recipe()).updated(**settings)
    if source is not None:
        recipe = recipe.updated(source=source)
    recipe = with_full_paths(recipe)
    if recipe.data.source is None:
        raise GliaError("nothing to train on", expected="a file, a folder or the name of a bundled set")
    data = recipe.data
    if data.kind != "auto" and data.kind not in KINDS:
        raise unknown("kind of data", data.kind, KINDS)
    name = data.kind if data.kind != "auto" else next(name for name, kind in KINDS.items() if kind.fits(data))
    data = _filled(recipe, KINDS[name].usual).data
    if data.task == "transcribe" and name != "sound":
        raise GliaError("only sounds are transcribed", got=f"{name} data", hint="a table with a column of sound files")
    return KINDS[name].prepare(data, recipe.train.seed)


def with_full_paths(recipe: Recipe) -> Recipe:
    """The recipe with files and folders named from the root, so that it can be repeated from anywhere."""
    full = {}
    for name in ("source", "valid", "test"):
        value = getattr(recipe.data, name)
        if isinstance(value, str | Path) and _exists(value, name):
            full[name] = str(Path(value).resolve())
        elif (files := two_files(value)) is not None:
            full[name] = ",".join(str(one.resolve()) for one in files)
    if recipe.data.tokenizer.endswith(".json") and Path(recipe.data.tokenizer).is_file():
        full["tokenizer"] = str(Path(recipe.data.tokenizer).resolve())
    weights = recipe.model.pretrained
    if weights is not None and _exists(weights, "pretrained"):
        full["pretrained"] = str(Path(weights).resolve())
    return recipe.updated(**full)


def with_usual(recipe: Recipe) -> Recipe:
    """The recipe with what is usual for its kind of data where nobody set it, so that its record says so."""
    data = recipe.data
    asked = ((name, kind) for name, kind in KINDS.items() if kind.usual.keys() - data.model_fields_set)
    meant = (kind.usual for name, kind in asked if data.kind == name or (data.kind == "auto" and kind.fits(data)))
    return _filled(recipe, next(meant, {}))


def _filled(recipe: Recipe, usual: dict[str, Any]) -> Recipe:
    left = {key: value for key, value in usual.items() if key not in recipe.data.model_fields_set}
    return recipe.updated(**left) if left else recipe


def _exists(path: str | Path, setting: str) -> bool:
    try:
        return Path(path).exists()
    except OSError as error:  # too long a name, no right to look
        raise GliaError(f"{setting} {str(path)[:80]!r} cannot be looked at", got=error.strerror) from None


def open_reader(kind: str, fitted: dict[str, Any]) -> Reader:
    """The Reader of that kind whose `to_dict` was saved."""
    return READERS[kind].from_dict(fitted)
