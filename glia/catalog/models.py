"""Networks.

Facts: inputs (kinds of data that it takes); rows (fewest and most training rows that it is meant for); train, where the
settings do not depend on the rows: its own training settings, where a person sets none (see the train section of a
Recipe). Those of the others are worked out in `glia/models/choose_table.py` and `choose_image.py`.
Of a named size of a family besides: family; size (what its factory is called with); published (inputs, outputs, task
and parameters of the form that its paper or its usual weights have, which `glia.build(name)` gives without data).
answers: what it gives where that is not one answer a row ("pixels", "pictures", "texts"): for loops of one's own.
inputs there: (channels, height, width) of pictures, (vocabulary, length) of texts, (length, channels) of series.
"""

from glia.catalog.networks import (
    forecast,
    generative,
    language,
    plain,
    recurrent,
    series,
    sound,
    texts,
    video,
    vision,
    vit,
)

_TABLES = (plain, vision, vit, video, language, recurrent, series, texts, sound, forecast, generative)
ENTRIES = tuple(entry for table in _TABLES for entry in table.ENTRIES)
ALIASES = {alias: name for table in _TABLES for alias, name in table.ALIASES.items()}
