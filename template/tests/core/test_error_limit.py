from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter, ValidationError

from app.core.error_limit import MAX_ERRORS, MAX_ERRORS_PER_OBJECT, StopEarly
from app.core.schemas import Rows, WriteSchema


class Sample(WriteSchema):
    name: str
    numbers: list[int] = []


# 1,000 rows with this many unknown keys are 0.9 MB; they blocked a process for four seconds.
WRONG = {f"k{number}": 0 for number in range(120)}
VALID = {"name": "Lamp"}


async def test_only_the_first_errors_are_listed(client: httpx2.AsyncClient, app: FastAPI) -> None:
    @app.post("/rows")
    async def create(rows: Rows[Sample]) -> None: ...

    response = await client.post("/rows", json=[WRONG] * 1000)
    problem = response.json()
    assert response.status_code == 422
    assert problem["detail"].endswith("more than 100 errors; the first 100 are listed.")
    assert len(problem["errors"]) == MAX_ERRORS
    assert problem["errors"][0]["location"] == ["body", 0, "name"]

    few = (await client.post("/rows", json=[VALID, WRONG])).json()
    assert few["errors"][-1]["location"][:2] == ["body", 1]
    none = await client.post("/rows", json=[VALID] * 1000)
    assert none.status_code == 200


@pytest.mark.parametrize(
    ("value", "errors", "location"),
    [
        ([WRONG] * 1000, 121, (0, "name")),
        # Each row has one error, so that the checked rows just exceed the limit.
        ([{}] * 1000, MAX_ERRORS + 1, (0, "name")),
        ([VALID] * 500 + [{}] * 500, MAX_ERRORS + 1, (500, "name")),
        # One object has too many errors to be listed.
        ([VALID, {"name": "Lamp", "numbers": ["x"] * 100_000}], 1, (1,)),
        ([{f"k{number}": 0 for number in range(MAX_ERRORS_PER_OBJECT)}], 1, (0,)),
    ],
)
def test_checking_stops_soon_after_the_limit(
    value: list[object], errors: int, location: tuple[object, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Rows[Sample]).validate_python(value)
    # Rejections are slow because each error becomes a Python object.
    assert caught.value.error_count() == errors
    assert caught.value.errors()[0]["loc"] == location


def test_any_list_can_stop_early() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[list[int], StopEarly()]).validate_python([""] * 100_000)
    assert caught.value.error_count() == MAX_ERRORS + 1
