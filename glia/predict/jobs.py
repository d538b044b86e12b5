"""Jobs: for each kind of answer, how it is judged, what it is compared with, and how new rows are answered."""

from typing import Any

from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.prepared import Prepared
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict import baselines as rivals
from glia.predict import evaluate as labelled
from glia.predict import predict as answers
from glia.predict.curves import curves
from glia.predict.forecast import Forecasts
from glia.predict.job import Job, Judged
from glia.predict.language import LanguageModels
from glia.predict.measure import measure
from glia.predict.outputs import part_of
from glia.predict.transcription import Transcribes
from glia.predict.translation import Translations
from glia.predict.words import with_words
from glia.predict.worst import worst


class RowAnswers:
    """A class, labels or values for each row."""

    def fitted(self, model: nn.Module, data: Prepared) -> None:
        """Nothing: weights are all."""

    def judge(self, model: nn.Module, part: Batches, data: Prepared) -> Judged:
        return self.judged(data.task, part_of(model, part, data.task))

    def judged(self, task: Task, found: dict[str, Tensor]) -> Judged:
        """Of answers that are there already: "rows", "targets" and "outputs" as `part_of` gives them."""
        outputs, targets = found["outputs"], found["targets"]
        return Judged(measure(task, outputs, targets), curves(task, outputs, targets), found)

    def examples(
        self, model: nn.Module, judged: Judged, part: Batches, data: Prepared, source: Any
    ) -> dict[str, bytes]:
        files = worst(data.task, judged.tensors, part, data.reader, source)
        return with_words(files, model, data.task, data.reader) if data.reader.kind == "text" else files

    def baselines(self, data: Prepared) -> list[dict[str, Any]]:
        return rivals.baselines(data)

    frames = staticmethod(answers.predict)
    evaluate = staticmethod(labelled.evaluate)


ROWS = RowAnswers()
JOBS: dict[str, Job] = {
    "classify": ROWS,
    "multilabel": ROWS,
    "regress": ROWS,
    "forecast": Forecasts(),
    "translate": Translations(),
    "transcribe": Transcribes(),
    "language": LanguageModels(),
}


def job_of(task: Task) -> Job:
    """The job of a task. Raises GliaError where only the user's own Step knows what an answer is."""
    if task.kind not in JOBS:
        raise GliaError(
            "this run was trained by a Step of your own, which alone knows what its answers mean",
            hint="glia.open(folder, model=your_network).model",
        )
    return JOBS[task.kind]
