import pytest

from llm_from_scratch.cli import _session, _telling


@pytest.fixture(scope="session", autouse=True)
def brief():
    """Two texts of ten tokens are as good as many long ones here, and one step as good a measurement as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_telling, "COUNTED", 2)
        patch.setattr(_telling, "LONGEST", 10)
        patch.setattr(_telling, "GLIMPSE", 5)
        patch.setattr(_session, "UNTRAINED", 2)
        patch.setattr(_session, "MEASURED", 0.0)
        yield
