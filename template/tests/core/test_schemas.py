from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from app.core.schemas import DEEPEST, storable

NAIVE = datetime.min  # noqa: DTZ901
EAST = timezone(timedelta(hours=14))


@pytest.mark.parametrize(
    "value",
    [
        *("\0", "\ud800", 2**63, -(2**63) - 1, NAIVE, NAIVE.replace(tzinfo=EAST)),
        *(float("nan"), float("inf"), Decimal("sNaN"), Decimal("1e400")),
    ],
)
def test_what_no_database_stores_is_refused(value: object) -> None:
    for within in (value, [value], {"key": [value]}):
        with pytest.raises(ValueError, match=r"stored|no character|time zone|calendar|NaN"):
            storable(within)


@pytest.mark.parametrize(
    "value",
    [
        *("", "é😀", 2**63 - 1, True, None, 1.5, Decimal("1e300"), {"a": [1]}),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_everything_else_is_taken(value: object) -> None:
    assert storable(value) is value


def test_what_is_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(DEEPEST - 1):
        deep = [deep]
    assert storable(deep) is deep
    with pytest.raises(ValueError, match="deep"):
        storable([deep])
