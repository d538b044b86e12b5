"""Which words mattered: a linear model, whose words' effects are known; TF-IDF against scikit-learn on the words."""

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.facts import TextFacts
from glia.data.prepared import Prepared
from glia.data.ragged import Ragged
from glia.data.task import Task
from glia.predict.baselines import baselines
from glia.predict.words import strongest, told, words_that_mattered

WORDS = ["<pad>", "the", "film", "is", "good", "bad", "long"]
TASK = Task("classify", ("label",), ("no", "yes"))


class Encoder:
    def encode(self, texts: list[str]) -> Tensor:
        rows = [[WORDS.index(word) for word in text.split()] or [0] for text in texts]
        return torch.tensor([row + [0] * (max(map(len, rows)) - len(row)) for row in rows])


class Linear(nn.Module):
    """The log-odds of "yes" are the sum of the words' weights."""

    def __init__(self, *weights: float):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, tokens: Tensor) -> Tensor:
        score = self.weights[tokens].sum(1)
        return torch.stack([torch.zeros_like(score), score], 1)


def test_effects_of_a_linear_model_are_its_weights() -> None:
    net = Linear(0.0, 0.0, 0.25, 0.0, 2.0, -1.0, -0.5).train()
    found = words_that_mattered(net, TASK, Encoder(), "the good film  is bad")
    assert [(word.text, word.start) for word in found] == [
        ("the", 0), ("good", 4), ("film", 9), ("is", 15), ("bad", 18),
    ]  # fmt: skip
    assert np.allclose([word.effect for word in found], [0, 2, 0.25, 0, -1], atol=1e-5)
    assert told(strongest(found, 2)) == "good +2, bad -1"
    against = words_that_mattered(net, TASK, Encoder(), "good bad", answer=0)
    assert np.allclose([word.effect for word in against], [-2, 1], atol=1e-5)
    assert net.training and words_that_mattered(net, TASK, Encoder(), "") == []


def test_numbers_are_told_in_standard_deviations() -> None:
    class One(Linear):
        def forward(self, tokens: Tensor) -> Tensor:
            return self.weights[tokens].sum(1, keepdim=True)

    task = Task("regress", ("stars",), center=(3.0,), scale=(2.0,))
    found = words_that_mattered(One(0.0, 0.0, 0.0, 0.0, 1.5, -1.0, 0.0), task, Encoder(), "good bad")
    assert np.allclose([word.effect for word in found], [1.5, -1.0], atol=1e-5)


def test_tfidf_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 120)
    texts = [" ".join([WORDS[4 + label], *generator.choice(WORDS[1:], 6)]) for label in labels]
    rows = Ragged.of([torch.tensor([WORDS.index(word) for word in text.split()]) for text in texts], 0)
    parts = []
    for part in map(torch.from_numpy, (np.arange(60), np.arange(60, 90), np.arange(90, 120))):
        texts_of_part = Ragged.of([rows.take(part[i : i + 1])[0] for i in range(len(part))], 0)
        parts.append(Batches(texts_of_part, torch.from_numpy(labels)[part], part))
    prepared = Prepared(*parts, TASK, TextFacts(len(WORDS), 9, 0, 60), None)  # type: ignore[arg-type]  # no reader needed
    found = {entry["name"]: entry for entry in baselines(prepared)}
    assert set(found) == {"majority class", "TF-IDF + linear model"}
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    wide = vectors.fit_transform(texts[:90])
    theirs = LogisticRegression(C=10.0, max_iter=300).fit(wide, labels[:90])
    expected = theirs.score(vectors.transform(texts[90:]), labels[90:])
    assert 0.6 < expected < 1
    assert found["TF-IDF + linear model"]["test"]["accuracy"] == expected
