"""The state of a checkpoint, put back into the parts of a loop."""

from collections.abc import Mapping
from typing import Any

from glia.errors import DamagedError
from glia.optim.bare import bare
from glia.training.update import Progress


def restore(parts: Mapping[str, Any], state: Mapping[str, Any]) -> Progress:
    """Load each part's state; where the run stood. Raises DamagedError for the state of other parts."""
    try:
        for name, part in parts.items():
            bare(part.load_state_dict)(state[name])
        return Progress(**state["progress"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        got = f"{type(error).__name__}: {error}"[:200]
        raise DamagedError("the checkpoint is not of this network and optimiser", got=got) from None
