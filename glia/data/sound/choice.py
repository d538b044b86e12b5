"""Which augmentation training sounds get: by name, or one that leaves what was said as it was."""

from dataclasses import replace

from glia.data.sound.augment import SoundAugment
from glia.errors import GliaError, unknown

STRENGTHS = {"shift": 0.1, "noise": 15.0, "stretch": 0.1, "mask": 1.0}
_MOST = {"shift": 0.5, "noise": 60.0, "stretch": 0.5, "mask": 1.0}
_SPREAD = 20.0  # dB between the loudest and the faintest noise


def chosen(kind: str) -> tuple[SoundAugment, bool, list[str]]:
    """What happens to waves, whether spectrograms are painted over, and why. kind: of answer."""
    why = ["Noise of a drawn strength (15 to 35 dB below the sound) and stripes over the spectrogram, drawn anew."]
    if kind == "transcribe":  # a shift could push the first or the last sign out
        return by_name("noise,mask") + (why,)
    return by_name("noise,shift=0.05,mask") + ([*why, "Moved in time by up to 5 % of the length."],)


def by_name(names: str) -> tuple[SoundAugment, bool]:
    """The operations of a list such as "shift,noise"; a strength may follow: "shift=0.2,noise=10" (dB at the loudest).

    Returns what happens to waves, and whether spectrograms are painted over ("mask").
    """
    made, masks = SoundAugment(), False
    for item in (part.strip().lower() for part in names.split(",")):
        name, _, strength = (part.strip() for part in item.partition("="))
        if name in ("", "none"):
            continue
        if name not in STRENGTHS:
            raise unknown("augmentation of sounds", name, STRENGTHS)
        value = _strength(name, strength) if strength else STRENGTHS[name]
        if name == "mask":
            masks = value > 0
        else:
            made = replace(made, **{name: (value, value + _SPREAD) if name == "noise" else value})  # type: ignore[arg-type]
    return made, masks


def _strength(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MOST[name]:
        expected = f"a number from 0 to {_MOST[name]:g}"
        raise GliaError(f"strength of augmentation {name}", got=repr(text), expected=expected)
    return value
