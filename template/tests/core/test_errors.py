import traceback
from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.exceptions import ResponseValidationError
from pydantic import TypeAdapter, ValidationError

from app.core.errors import (
    MAX_ERRORS,
    MAX_ERRORS_PER_OBJECT,
    ConflictError,
    StopEarly,
    UnavailableError,
)
from app.core.schemas import ReadSchema, Rows, WriteSchema


async def test_every_error_is_a_problem_details_response(
    lenient_client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.post("/conflict")
    async def conflict() -> None:
        raise ConflictError("There is one already.")

    @app.get("/unavailable")
    async def unavailable() -> None:
        raise UnavailableError("Not now.")

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret")

    for method, path, status, detail in (
        ("POST", "/conflict", 409, "There is one already."),
        ("GET", "/conflict", 405, "Method Not Allowed"),
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/unavailable", 503, "Not now."),
        ("GET", "/broken", 500, "Internal server error"),
    ):
        response = await lenient_client.request(method, path)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code == status
        assert response.json()["detail"] == detail
    assert (await lenient_client.get("/conflict")).headers["Allow"] == "POST"
    assert (await lenient_client.get("/unavailable")).headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/health/live/", "/docs/", "/docs/assets", "/slash/", "/none"])
async def test_slash_redirects_are_disabled(
    client: httpx2.AsyncClient, app: FastAPI, path: str
) -> None:
    @app.get("/slash")
    @app.get("/none/")
    async def slash() -> None: ...

    response = await client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "Location" not in response.headers
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_the_test_client_raises_unexpected_errors(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("why")

    with pytest.raises(ZeroDivisionError, match="why"):
        await client.get("/broken")


async def test_an_internal_server_error_closes_the_connection(
    lenient_client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    assert (await lenient_client.get("/broken")).headers["Connection"] == "close"
    assert "Connection" not in (await lenient_client.get("/nowhere")).headers


async def test_an_invalid_response_is_logged_without_its_values(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    class Stored(ReadSchema):
        price: int

    stored = {"id": "s3cret", "price": "s3cret"}

    @app.get("/row", response_model=Stored)
    async def row() -> dict[str, str]:
        return stored

    @app.get("/validated")
    async def validated() -> None:
        Stored.model_validate(stored)

    for path, error in (("/row", ResponseValidationError), ("/validated", ValidationError)):
        with pytest.raises(error) as caught:
            await client.get(path)
        logged = "".join(traceback.format_exception(caught.value))
        assert "price" in logged
        assert "Input should be a valid integer" in logged
        assert "s3cret" not in logged


async def test_every_operation_documents_problem_details(app: FastAPI) -> None:
    operations = [
        operation for methods in app.openapi()["paths"].values() for operation in methods.values()
    ]
    assert operations
    for operation in operations:
        for status in ("4XX", "5XX"):
            assert "application/problem+json" in operation["responses"][status]["content"]


class Row(WriteSchema):
    name: str
    numbers: list[int] = []


# 1,000 rows with this many unknown keys are 0.9 MB; they blocked a process for four seconds.
INVALID = {f"k{number}": 0 for number in range(120)}
VALID = {"name": "Lamp"}


async def test_a_response_lists_the_first_100_errors(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.post("/rows")
    async def create(rows: Rows[Row]) -> None: ...

    response = await client.post("/rows", json=[INVALID] * 1000)
    problem = response.json()
    assert response.status_code == 422
    assert problem["detail"].endswith("more than 100 errors; the first 100 are listed.")
    assert len(problem["errors"]) == MAX_ERRORS
    assert problem["errors"][0]["location"] == ["body", 0, "name"]

    few = (await client.post("/rows", json=[VALID, INVALID])).json()
    assert few["errors"][-1]["location"][:2] == ["body", 1]
    none = await client.post("/rows", json=[VALID] * 1000)
    assert none.status_code == 200


@pytest.mark.parametrize(
    ("value", "errors", "location"),
    [
        ([INVALID] * 1000, 121, (0, "name")),
        # Each row has one error, so that the checked rows just exceed the limit.
        ([{}] * 1000, MAX_ERRORS + 1, (0, "name")),
        ([VALID] * 500 + [{}] * 500, MAX_ERRORS + 1, (500, "name")),
        # One object has too many errors to be listed.
        ([VALID, {"name": "Lamp", "numbers": ["x"] * 100_000}], 1, (1,)),
        ([{f"k{number}": 0 for number in range(MAX_ERRORS_PER_OBJECT)}], 1, (0,)),
    ],
)
def test_validation_stops_soon_after_the_limit(
    value: list[object], errors: int, location: tuple[object, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Rows[Row]).validate_python(value)
    # Rejections are slow because each error becomes a Python object.
    assert caught.value.error_count() == errors
    assert caught.value.errors()[0]["loc"] == location


def test_any_list_can_limit_its_errors() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[list[int], StopEarly]).validate_python([""] * 100_000)
    assert caught.value.error_count() == MAX_ERRORS + 1
