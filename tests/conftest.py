"""What several rooms' tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# A busy machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Path of a file among the shared data sets; skips where they are absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"the shared data set {name} is not beside this checkout")
        return path

    return find


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run side by side: one thread each is faster and the same everywhere."""
    torch.set_num_threads(1)
