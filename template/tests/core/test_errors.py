import traceback

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.exceptions import ResponseValidationError
from pydantic import ValidationError

from app.core.errors import ConflictError, UnavailableError
from app.core.schemas import ReadSchema


async def test_every_failure_is_a_problem(lenient_client: httpx2.AsyncClient, app: FastAPI) -> None:
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
        ("GET", "/broken", 500, "The server failed."),
    ):
        response = await lenient_client.request(method, path)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code == status
        assert response.json()["detail"] == detail
    assert (await lenient_client.get("/conflict")).headers["Allow"] == "POST"
    assert (await lenient_client.get("/unavailable")).headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/health/live/", "/docs/", "/docs/assets", "/slash/", "/none"])
async def test_no_slash_redirects_to_a_foreign_host(
    client: httpx2.AsyncClient, app: FastAPI, path: str
) -> None:
    @app.get("/slash")
    @app.get("/none/")
    async def slash() -> None: ...

    response = await client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "Location" not in response.headers
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_an_unexpected_error_fails_the_test(client: httpx2.AsyncClient, app: FastAPI) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("why")

    with pytest.raises(ZeroDivisionError, match="why"):
        await client.get("/broken")


async def test_an_unexpected_error_says_that_the_connection_ends(
    lenient_client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    assert (await lenient_client.get("/broken")).headers["Connection"] == "close"
    assert "Connection" not in (await lenient_client.get("/nowhere")).headers


async def test_an_invalid_response_is_an_error_without_its_values(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    class Row(ReadSchema):
        price: int

    stored = {"id": "s3cret", "price": "s3cret"}

    @app.get("/row", response_model=Row)
    async def row() -> dict[str, str]:
        return stored

    @app.get("/validated")
    async def validated() -> None:
        Row.model_validate(stored)

    for path, error in (("/row", ResponseValidationError), ("/validated", ValidationError)):
        with pytest.raises(error) as caught:
            await client.get(path)
        logged = "".join(traceback.format_exception(caught.value))
        assert "price" in logged
        assert "Input should be a valid integer" in logged
        assert "s3cret" not in logged


async def test_every_operation_documents_its_problems(app: FastAPI) -> None:
    operations = [
        operation for methods in app.openapi()["paths"].values() for operation in methods.values()
    ]
    assert operations
    for operation in operations:
        for status in ("4XX", "5XX"):
            assert "application/problem+json" in operation["responses"][status]["content"]
