"""Heavy imports: the collector rests meanwhile, in the command line's own process only, and works afterwards."""

import gc
import sys
from collections.abc import Iterator

import pytest

from glia.cli.heavy import heavy


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_the_collector_rests_and_leaves_what_was_imported_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "glia.workbench.run", raising=False)
    with heavy():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_it_works_again_after_an_import_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "glia.workbench.run", raising=False)
    with pytest.raises(ImportError), heavy():
        raise ImportError
    assert gc.isenabled()


def test_where_all_is_imported_already_nothing_is_done() -> None:
    import glia.workbench.run

    assert glia.workbench.run.__name__ in sys.modules
    before = gc.get_freeze_count()
    with heavy():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before
