"""The fixture `faulty_provider`, a provider whose responses tests can break."""

from collections.abc import Iterator

import pytest

from tests.core.openid.faulty_provider import FaultyProvider


@pytest.fixture(scope="session")
def _one_faulty_provider() -> Iterator[FaultyProvider]:
    provider = FaultyProvider()
    yield provider
    provider.stop()


@pytest.fixture
def faulty_provider(_one_faulty_provider: FaultyProvider) -> FaultyProvider:
    """A provider that has no faults yet."""
    _one_faulty_provider.reset()
    return _one_faulty_provider
