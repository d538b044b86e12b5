"""Texts in other words: each operation does what its paper says, to a row alone."""

from collections import Counter

import pytest
import torch

from glia.data.batches import Batches
from glia.data.texts.augment import TextAugment, back_translation
from glia.errors import GliaError

SYNONYMS = {"good": ["fine", "great"], "film": ["movie"], "bad": ["poor"]}
TEXT = "a good film with a good end and not one bad scene in it at all"
TEXTS = [TEXT, "good", "", "nothing known here", "a film"] * 8
OFF = {"replace": 0.0, "insert": 0.0, "delete": 0.0, "swap": 0.0}


def only(**on: float) -> TextAugment:
    return TextAugment(SYNONYMS, rows=1.0, **{**OFF, **on})  # type: ignore[arg-type]


def test_replaced_words_are_synonyms_in_their_places() -> None:
    seen = set()
    for row in range(60):
        old, new = TEXT.split(), only(replace=0.2).words(TEXT.split(), 0, 0, row)
        assert len(new) == len(old)
        changed = {(a, b) for a, b in zip(old, new) if a != b}
        assert len({a for a, _ in changed}) == 3  # a fifth of 16 words; each wherever it stands
        assert all(b in SYNONYMS[a] for a, b in changed)
        seen |= changed
    assert {b for _, b in seen} == {"fine", "great", "movie", "poor"}


def test_inserted_words_are_synonyms_and_all_others_stay_in_order() -> None:
    for row in range(30):
        new = only(insert=0.2).words(TEXT.split(), 0, 0, row)
        assert len(new) == 19  # a fifth of 16 words more
        left = [word for word in new if word not in ("fine", "great", "movie", "poor")]
        assert left == TEXT.split()


def test_deleted_words_leave_the_rest_in_order_at_the_rate_asked() -> None:
    words = [str(number) for number in range(50)]
    lengths = []
    for row in range(400):
        new = only(delete=0.3).words(words, 0, 0, row)
        assert [int(word) for word in new] == sorted(int(word) for word in new)
        lengths.append(len(new))
    assert sum(lengths) / 400 == pytest.approx(35, abs=4 * (50 * 0.21 / 400) ** 0.5)
    assert all(len(only(delete=0.99).words(words[:3], 0, 0, row)) >= 1 for row in range(50))


def test_swapped_words_are_the_same_words() -> None:
    words = [str(number) for number in range(20)]
    moved = [sum(a != b for a, b in zip(words, only(swap=0.05).words(words, 0, 0, row))) for row in range(20)]
    assert set(moved) == {2}  # one swap
    assert Counter(only(swap=0.5).words(words, 0, 0, 0)) == Counter(words)


def test_a_row_is_a_function_of_seed_epoch_and_row_alone() -> None:
    augment, index = TextAugment(SYNONYMS), list(range(40))
    first = augment.texts(TEXTS, 1, 2, index)
    assert augment.texts(TEXTS, 1, 2, index) == first
    assert augment.texts(TEXTS[::-1], 1, 2, index[::-1])[::-1] == first
    assert [augment.texts([text], 1, 2, [row])[0] for text, row in zip(TEXTS, index)] == first
    for other in ((2, 2), (1, 3)):
        assert augment.texts(TEXTS, *other, index) != first
    changed = sum(new != old for new, old in zip(augment.texts([TEXT] * 500, 0, 0, range(500)), [TEXT] * 500))
    assert changed / 500 == pytest.approx(0.8, abs=0.08)
    assert TextAugment(SYNONYMS, rows=0.0).texts(TEXTS, 0, 0, index) == [" ".join(text.split()) for text in TEXTS]


def test_tokens_that_are_words_change_in_batches_for_training_alone() -> None:
    tokens = torch.tensor([[1, 2, 3, 4, 0, 0], [2, 2, 0, 0, 0, 0], [0] * 6, [1, 2, 3, 4, 5, 2]])
    augment = TextAugment({2: [7], 3: [8, 9]}, replace=0.3, insert=0.3, delete=0.1, swap=0.2, rows=1.0)
    batches = Batches(tokens, torch.arange(4), torch.arange(4), augment)
    rows = {}
    for epoch in range(8):
        for batch in batches.epoch(0, epoch, 2):
            assert torch.equal(batch.targets, batch.index)  # labels are kept
            for row, number in zip(batch.inputs, batch.index.tolist()):
                length = int((row != 0).sum())
                assert (row[:length] != 0).all() and (row[length:] == 0).all() and row.dtype == torch.int64
                rows[number, tuple(row.tolist())] = True
    assert len({row for number, row in rows if number == 3}) > 3 and (2, (0,) * 6) in rows
    assert any(7 in row or 8 in row for _, row in rows)
    assert torch.equal(torch.cat([batch.inputs for batch in batches.ordered(3)]), tokens)


def test_back_translation_changes_a_share_of_the_rows_at_once() -> None:
    calls: list[list[str]] = []

    def shout(texts: list[str]) -> list[str]:
        calls.append(texts)
        return [text.upper() for text in texts]

    texts = [f"text {number}" for number in range(300)]
    made = back_translation(texts, shout, 0, 0, range(300), share=0.4)
    changed = [number for number, text in enumerate(made) if text.isupper()]
    assert len(calls) == 1 and calls[0] == [texts[number] for number in changed]
    assert all(new.lower() == old for new, old in zip(made, texts))
    assert len(changed) == pytest.approx(120, abs=35)
    assert back_translation(texts[7:9], shout, 0, 0, range(7, 9), share=0.4) == made[7:9]
    assert back_translation(texts, shout, 0, 0, range(300), share=0.0) == texts
    with pytest.raises(GliaError, match="the translation of back_translation; got 1 texts"):
        back_translation(texts, lambda chosen: chosen[:1], 0, 0, range(300))
