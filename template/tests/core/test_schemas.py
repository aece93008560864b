from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from app.core.schemas import MAX_DEPTH, check_storable

NAIVE = datetime.min  # noqa: DTZ901
EAST = timezone(timedelta(hours=14))


@pytest.mark.parametrize(
    "value",
    [
        *("\0", "\ud800", 2**63, -(2**63) - 1, NAIVE, NAIVE.replace(tzinfo=EAST)),
        *(float("nan"), float("inf"), Decimal("sNaN"), Decimal("1e400")),
    ],
)
def test_values_that_cannot_be_stored_are_rejected(value: object) -> None:
    for data in (value, [value], {"key": [value]}):
        with pytest.raises(ValueError, match=r"stored|time zone|out of range|NaN"):
            check_storable(data)


@pytest.mark.parametrize(
    "value",
    [
        *("", "é😀", 2**63 - 1, True, None, 1.5, Decimal("1e300"), {"a": [1]}),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_values_that_can_be_stored_are_accepted(value: object) -> None:
    assert check_storable(value) is value


def test_nesting_beyond_the_limit_is_rejected() -> None:
    deep: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert check_storable(deep) is deep
    with pytest.raises(ValueError, match="deep"):
        check_storable([deep])
