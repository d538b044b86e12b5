"""Writing with a run: `glia generate`, `Run.generate`, and what a language model writes while it learns."""

from collections.abc import Callable, Iterator
from typing import Any

from glia.data.corpus.reader import CorpusReader
from glia.errors import GliaError
from glia.predict.language import write_tokens
from glia.predict.outputs import evaluating
from glia.predict.writing import Taste, as_text
from glia.runs.folder import RunFolder
from glia.seed import mix
from glia.training.loop import Moment
from glia.workbench.run import Run
from glia.workbench.session import Session, Watcher

NAME = "samples.json"
_TIMES = 8  # in a run that something is written
_TOKENS = 160
_SHOWN = 100  # characters of a sample in the terminal


def pieces(
    run: Run,
    prompt: str = "",
    *,
    tokens: int = 200,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    count: int = 1,
) -> Iterator[Iterator[str]]:
    """`count` texts, each in pieces as they come. See `Run.generate`."""
    corpus = corpus_of(run)
    taste = Taste(temperature, top_k, top_p)
    if tokens < 1 or count < 1:
        raise GliaError("how much to write", got=f"{tokens} tokens, {count} texts", expected="1 or more of each")
    said = corpus.encode(prompt).tolist() if prompt else corpus.start()
    for number in range(count):
        drawn = write_tokens(run.model, corpus, said, tokens, taste=taste, seed=mix(seed, "text", number))
        yield as_text(drawn, corpus.tokens)


def corpus_of(run: Run) -> CorpusReader:
    """How a run's texts became tokens. Raises GliaError for a run that does not write."""
    if run.task.kind != "language" or not isinstance(run.reader, CorpusReader):
        raise GliaError(
            f"{run.folder} does not write texts", got=f"task {run.task.kind}", expected="a run of glia train TEXT.txt"
        )
    return run.reader


def strangers(run: Run, prompt: str) -> str:
    """The signs of a prompt that the network has no token for, each once."""
    corpus = corpus_of(run)
    return "".join(dict.fromkeys(sign for sign in prompt if (corpus.encode(sign) == corpus.tokens.unknown).any()))


def sampled(session: Session, folder: RunFolder, tell: Callable[[str], None]) -> tuple[Watcher, ...]:
    """A watcher that lets the network write a few times while it learns, always with the same seed; what it writes
    goes to samples.json. None where the task is another.

    It draws from a generator of its own and in evaluation mode, so training goes on as if it were not there.
    """
    corpus = session.data.reader
    if session.data.task.kind != "language" or not isinstance(corpus, CorpusReader):
        return ()
    epochs = session.recipe.train.epochs or 1
    every = max(1, epochs // _TIMES)
    kept: list[dict[str, Any]] = [
        one for one in folder.read_json(NAME, []) if isinstance(one, dict) and isinstance(one.get("epoch"), int)
    ]

    def watch(moment: Moment) -> None:
        if moment.kind != "epoch" or ((moment.epoch + 1) % every and not moment.last):
            return
        drawn = write_tokens(session.model, corpus, corpus.start(), _TOKENS)
        with evaluating(session.model):
            text = "".join(as_text(drawn, corpus.tokens))
        epoch = moment.epoch + 1
        kept[:] = [one for one in kept if one["epoch"] < epoch] + [{"epoch": epoch, "text": text}]
        folder.write_json(NAME, kept)
        tell(f"epoch {epoch} writes: {' / '.join(line for line in text.splitlines() if line.strip())[:_SHOWN]}")

    return (watch,)
