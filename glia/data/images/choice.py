"""Which augmentation is safe for a set of pictures, and why: it must not change what the label says."""

from glia.data.facts import ImageFacts
from glia.data.images.augment import Augment

TINY = 12  # pixels: below, moving by one pixel already loses strokes
SMALL = 64
_SIDES = frozenset({"left", "right", "clockwise", "anticlockwise", "counterclockwise", "east", "west"})


def chosen(facts: ImageFacts, classes: tuple[str, ...], rows: int) -> tuple[Augment | None, list[str]]:
    """The augmentation for training pictures of these classes, and a line of reason for each choice.

    classes: empty where the answer is a number or several labels. rows: of training.
    """
    side = min(facts.height, facts.width)
    if side < TINY:
        return None, [f"No augmentation: at {facts.width} x {facts.height} pixels the smallest change loses detail."]
    if not classes:
        reason = "Only brightness and contrast vary: where things are and how they lie may be the very answer."
        return Augment(brightness=0.1, contrast=0.1), [reason]
    if _are_signs(classes):
        return _for_signs(facts, classes)
    flip, why = _flip(classes)
    if side <= SMALL:
        erase = 0.25 if rows >= 5000 and facts.channels == 3 else 0.0
        why.append("Pictures are padded by an eighth and cut at random: small photos are seldom centred exactly.")
        if erase:
            why.append("A square of a quarter of the side is painted over, so that no single detail decides.")
        return Augment(flip=flip, crop=0.125, erase=erase), why
    why.append("Cut to a part at random (at least 60 % of the side): objects in photos come in all sizes and places.")
    why.append("Brightness, contrast and colour vary by up to 20 %, as light and cameras do.")
    return Augment(flip=flip, closeup=0.4, brightness=0.2, contrast=0.2, saturation=0.2), why


def _are_signs(classes: tuple[str, ...]) -> bool:
    """Classes called by single characters: digits, letters."""
    return all(len(name) == 1 for name in classes)


def _for_signs(facts: ImageFacts, classes: tuple[str, ...]) -> tuple[Augment, list[str]]:
    why = [f"No mirror images: the classes ({', '.join(classes[:4])}, ...) read like digits or letters."]
    if facts.channels == 1:
        why.append("Shifted by up to 8 %, turned by up to 10 degrees, zoomed by up to 10 %, as hands vary.")
        return Augment(shift=0.08, rotate=10.0, zoom=0.1), why
    why.append("Padded by an eighth and cut at random; augment=flip,crop if the numbers only stand for things.")
    return Augment(crop=0.125), why


def _flip(classes: tuple[str, ...]) -> tuple[float, list[str]]:
    words = {word for name in classes for word in name.lower().replace("-", "_").replace(" ", "_").split("_")}
    if words & _SIDES:
        return 0.0, [f"No mirror images: a class name says {sorted(words & _SIDES)[0]!r}."]
    return 0.5, ["Mirrored left to right half of the time: photos mean the same either way round."]
