"""Which augmentation of texts was asked for: names of operations, and a file of synonyms for those that need one."""

from pathlib import Path

from glia import limits
from glia.data.texts.augment import TextAugment
from glia.data.texts.tokens import Tokenizer
from glia.errors import GliaError, unknown

OPERATIONS = ("replace", "insert", "delete", "swap")
_NEED_SYNONYMS = ("replace", "insert")


def augmented(asked: str, tokens: Tokenizer, raised: limits.Raised = limits.USUAL) -> TextAugment | None:
    """asked: "auto" and "none" (nothing), or names such as "delete,swap,synonyms=words.txt".

    Operations work on tokens, so with a tokeniser of words on words.
    """
    if asked in ("auto", "none"):
        return None
    names = [name.strip() for name in asked.split(",") if name.strip()]
    files = [name.removeprefix("synonyms=") for name in names if name.startswith("synonyms=")]
    operations = [name for name in names if not name.startswith("synonyms=")]
    for name in operations:
        if name not in OPERATIONS:
            raise unknown("augmentation of texts", name, (*OPERATIONS, "synonyms=FILE"))
        if name in _NEED_SYNONYMS and not files:
            raise GliaError(f"augmentation {name!r} needs synonyms", hint=f"augment={asked},synonyms=FILE")
    found = read_synonyms(Path(files[-1]), tokens, raised) if files else {}
    on = operations or list(OPERATIONS)
    shares = {name: 0.1 if name in on else 0.0 for name in OPERATIONS}
    return TextAugment(found, **shares, pad=tokens.pad)


def read_synonyms(path: Path, tokens: Tokenizer, raised: limits.Raised = limits.USUAL) -> dict[int, list[int]]:
    """Token -> tokens that may stand for it. A line of the file: words that mean the same, with commas between.

    Words that the vocabulary lacks, or that are several tokens, are passed over.
    """
    try:
        limits.check("tokenizer_bytes", path.stat().st_size, path, raised)
        lines = path.read_text("utf-8").splitlines()
    except OSError as fault:
        raise GliaError(f"cannot read {path}", got=fault.strerror or fault) from None
    except UnicodeDecodeError as fault:
        raise GliaError(f"{path}, byte {fault.start}: not UTF-8") from None
    found: dict[int, list[int]] = {}
    for line in lines:
        words = tokens.encode([word.strip() for word in line.split(",") if word.strip()])
        known = [row[0] for row in words if len(row) == 1 and row[0] != tokens.unknown]
        for token in known:
            others = found.setdefault(token, [])
            others += [other for other in known if other != token and other not in others]
    found = {token: others for token, others in found.items() if others}
    if not found:
        raise GliaError(f"{path} holds no two words of the training texts that mean the same", expected="happy, glad")
    return found
