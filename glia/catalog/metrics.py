"""Metrics of an evaluation, under the keys of metrics.json. Of rows they are parts of `glia.predict.measure:measure`.

Facts: tasks; higher_is_better; range; units ("target" where it is in the units of the target).
"""

from math import inf

from glia.catalog.entry import Entry

_MEASURE = "glia.predict.measure:measure"


def _metric(
    name: str,
    summary: str,
    tasks: tuple[str, ...],
    *,
    up: bool = True,
    high: float = 1.0,
    low: float = 0.0,
    paper: str | None = None,
    units: str | None = None,
    where: str = _MEASURE,
) -> Entry:
    return Entry(
        name, where, summary, paper, {"tasks": tasks, "higher_is_better": up, "range": (low, high), "units": units}
    )


_CLASS, _LABELS, _NUMBER = ("classify",), ("multilabel",), ("regress",)

_FORECAST, _AHEAD = "glia.predict.forecast:Forecasts", ("forecast",)

_TRANSLATION, _PAIRS = "glia.predict.translation:Translations", ("translate",)
_SPOKEN, _SAID = "glia.predict.transcription:Transcribes", ("transcribe",)

ENTRIES = (
    _metric(
        "cer",
        "character error rate: signs to change, leave out or put in, for each sign that was said",
        _SAID,
        up=False,
        high=inf,
        where=_SPOKEN,
    ),
    _metric(
        "wer",
        "word error rate: the same in words",
        _SAID,
        up=False,
        high=inf,
        where=_SPOKEN,
    ),
    _metric("right_texts", "share of the texts that are right to the last sign", _SAID, where=_SPOKEN),
    _metric(
        "smape",
        "symmetric error in shares: |error| over the mean size of truth and forecast",
        _AHEAD,
        up=False,
        high=2.0,
        paper="Makridakis 1993",
        where=_FORECAST,
    ),
    _metric(
        "mase",
        "mean absolute error, scaled by that of telling the value a season before",
        _AHEAD,
        up=False,
        high=inf,
        paper="Hyndman, Koehler 2006, International Journal of Forecasting 22",
        where=_FORECAST,
    ),
    _metric(
        "mse",
        "mean squared error in standard deviations of the training rows",
        _AHEAD,
        up=False,
        high=inf,
        where=_FORECAST,
    ),
    _metric("coverage", "share of truths inside the interval made for 80 %", _AHEAD, where=_FORECAST),
    _metric(
        "bits",
        "bits a token: the loss of a language model in units of log 2",
        ("language",),
        up=False,
        high=inf,
        where="glia.training.language:next_token",
    ),
    _metric(
        "bleu",
        "how many runs of one to four words the translations share with those of people, 0 to 100",
        _PAIRS,
        high=100.0,
        paper="Papineni et al. 2002, ACL; Post 2018, arXiv 1804.08771",
        where=_TRANSLATION,
    ),
    _metric(
        "chrf",
        "how many runs of one to six letters the translations share with those of people, 0 to 100",
        _PAIRS,
        high=100.0,
        paper="Popovic 2015, WMT",
        where=_TRANSLATION,
    ),
    _metric(
        "perplexity",
        "between how many equally likely tokens the network wavers: exp of the loss a token",
        (*_PAIRS, "language"),
        up=False,
        low=1.0,
        high=inf,
        where="glia.training.translate:translating",
    ),
    _metric(
        "loss",
        "minus the log of the share given to the true token, in nats, a token",
        (*_PAIRS, "language"),
        up=False,
        high=inf,
        where="glia.training.translate:translating",
    ),
    _metric(
        "bits_per_byte",
        "bits for each byte of the text, whatever the tokens are",
        ("language",),
        up=False,
        high=inf,
        where="glia.predict.language:measures",
    ),
    _metric("accuracy", "share of the answers that are right", (*_CLASS, *_LABELS)),
    _metric(
        "balanced_accuracy",
        "mean of the classes' recalls: rare classes count as much",
        _CLASS,
        paper="Brodersen et al. 2010, ICPR",
    ),
    _metric(
        "f1",
        "harmonic mean of precision and recall; mean over classes when there are more than two",
        _CLASS,
        paper="van Rijsbergen 1979",
    ),
    _metric(
        "log_loss",
        "mean of minus the log of the share given to the truth, in nats",
        (*_CLASS, *_LABELS),
        up=False,
        high=inf,
    ),
    _metric("roc_auc", "chance that a positive row is ranked above a negative one", _CLASS, paper="Fawcett 2006"),
    _metric("pr_auc", "average precision: the area under precision against recall", _CLASS),
    _metric(
        "ece",
        "how far the given probabilities are from the observed shares",
        _CLASS,
        up=False,
        paper="Guo et al. 2017, arXiv 1706.04599, equation 3",
    ),
    _metric("exact_match", "share of the rows whose labels are all right", _LABELS),
    _metric("f1_macro", "mean of the labels' F1", _LABELS),
    _metric("f1_micro", "F1 of all labels as one", _LABELS),
    _metric("rmse", "root mean squared error", _NUMBER, up=False, high=inf, units="target"),
    _metric("mae", "mean absolute error", (*_NUMBER, "forecast"), up=False, high=inf, units="target"),
    _metric("r2", "share of the target's variance that is explained", _NUMBER, low=-inf),
)

ALIASES = {
    "acc": "accuracy",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "average_precision": "pr_auc",
    "logloss": "log_loss",
}
