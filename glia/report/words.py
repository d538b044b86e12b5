"""Numbers and names as people read them."""

import math
from typing import Any

MEASURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "f1_macro": "F1, macro",
    "f1_micro": "F1, micro",
    "exact_match": "exact match",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "ece": "ECE",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "smape": "sMAPE",
    "mase": "MASE",
    "mse": "MSE, standardised",
    "coverage": "coverage",
    "precision": "precision",
    "recall": "recall",
    "support": "rows",
    "loss": "loss",
    "bits": "bits a token",
    "bleu": "BLEU",
    "chrf": "chrF",
    "cer": "character error rate",
    "wer": "word error rate",
    "right_texts": "texts all right",
    "bits_per_byte": "bits a byte",
}
SHARES = {
    "right_texts",
    "smape",
    "coverage",
    "accuracy",
    "balanced_accuracy",
    "exact_match",
    "f1",
    "f1_macro",
    "f1_micro",
    "precision",
    "recall",
}
LOWER_IS_BETTER = {
    "bits_per_byte",
    "cer",
    "wer",
    "perplexity",
    "smape",
    "mase",
    "bits",
    "log_loss",
    "ece",
    "rmse",
    "mae",
    "loss",
    "mse",
}
EXPLAINED = {
    "cer": "signs to change, leave out or put in, for each sign that was said; lower is better",
    "wer": "words to change, leave out or put in, for each word that was said; lower is better",
    "right_texts": "share of texts that are right to the last sign",
    "accuracy": "share of rows that are answered right",
    "balanced_accuracy": "mean of the classes' recalls: every class counts the same",
    "f1": "harmonic mean of precision and recall",
    "f1_macro": "F1 of each label, then the mean",
    "f1_micro": "F1 over all labels at once",
    "exact_match": "share of rows with every label right",
    "log_loss": "mean of -log(probability of the true class); lower is better",
    "roc_auc": "chance that a positive row is scored above a negative one",
    "pr_auc": "mean precision over all recalls",
    "ece": "expected calibration error: how far stated confidence is from being right; lower is better",
    "rmse": "root of the mean squared error, in the target's units; lower is better",
    "mae": "mean absolute error, in the target's units; lower is better",
    "smape": "mean of |error| against the mean size of truth and forecast; lower is better",
    "mase": "mean absolute error against that of telling the value a season before; below 1 is better than that",
    "mse": "mean squared error in standard deviations of the training rows; lower is better",
    "coverage": "share of truths inside the interval, which is made for 80 %",
    "bleu": "runs of one to four words shared with the translations of people, 0 to 100 (sacrebleu)",
    "chrf": "runs of one to six letters shared with the translations of people, 0 to 100",
    "perplexity": "between how many equally likely tokens the network wavers; lower is better",
    "bits": "mean of -log2(probability of the token that came); lower is better",
    "bits_per_byte": "bits for each byte of the text, which compares tokenisers; lower is better",
    "r2": "share of the target's variance that is explained",
}


def measure_name(key: str) -> str:
    """The name of a measure in words: balanced_accuracy -> balanced accuracy, cer_error -> its standard error."""
    if key.endswith("_error"):
        return f"standard error of the {measure_name(key.removesuffix('_error'))}"
    return MEASURES.get(key, key.replace("_", " "))


def sentence(text: str) -> str:
    """With a capital at the start, the rest as it is."""
    return text[:1].upper() + text[1:]


def measured(key: str, value: float | None) -> str:
    """A value of a measure: shares as a percentage, the rest with three or four digits that matter."""
    if value is None:
        return "–"
    if key in SHARES:
        return percent(value)
    fine = key in ("log_loss", "ece", "roc_auc", "pr_auc", "r2", "loss") and 0.001 <= abs(value) < 1000
    return minus(f"{value:.3f}") if fine else digits(value, 2 if abs(value) < 0.001 else 4)


def percent(share: float, places: int = 1) -> str:
    """0.9714 -> "97.1 %", with a space that does not break; 100 % and 0 % only for exactly that."""
    if share in (0, 1):
        return f"{100 * share:.0f}\u00a0%"
    text = f"{100 * share:.{places}f}"
    if share < 1 and float(text) >= 100:
        text = ">" + f"{100 - 10**-places:.{places}f}"
    elif share > 0 and float(text) == 0:
        text = "<" + f"{10**-places:.{places}f}"
    return minus(f"{text}\u00a0%")


def digits(value: float, keep: int = 4) -> str:
    """A number with `keep` digits that matter: 0.04213, 1,234, 3.2e-05."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 9:
        mantissa, power = f"{value:.{max(keep - 2, 1)}e}".split("e")
        return minus(f"{mantissa}e{int(power)}")
    if float(value).is_integer() and abs(value) >= 10 ** (keep - 1):
        return minus(f"{value:,.0f}")
    return minus(f"{value:,.{min(max(keep - 1 - size, 0), 8)}f}")


def short(value: float) -> str:
    """A number for an axis or a tooltip: no zeros at the end."""
    text = digits(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def minus(text: str) -> str:
    """The true minus sign, also in exponents."""
    return text.replace("-", "−")


def count(value: float, noun: str) -> str:
    """1 row, 2 rows, 1,234 rows."""
    plural = (
        noun if value == 1 else noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun[-1] == "s" else "s")
    )
    return f"{value:,.0f} {plural}"


def seconds(value: float) -> str:
    """0.42 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if value < 10:
        return f"{value:.2g} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(value: float) -> str:
    """Bytes as people read them, by thousands."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def plain(value: Any) -> str:
    """Any setting or piece of evidence in one line."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return short(value)
    if isinstance(value, dict):
        return ", ".join(f"{str(key).replace('_', ' ')} {plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value) or "none"
    return str(value)


def clip(text: Any, length: int = 60) -> str:
    """At most `length` characters, with an ellipsis where something is cut."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def listed(names: list[str], most: int = 3) -> str:
    """Names in a row: a, b and c; or a, b, c and 4 more."""
    shown = names[:most]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "nothing"
