import httpx2
from fastapi import FastAPI

from app.core.errors import ConflictError, UnavailableError


async def test_every_failure_is_a_problem(client: httpx2.AsyncClient, app: FastAPI) -> None:
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
        response = await client.request(method, path)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code == status
        assert response.json()["detail"] == detail
    assert (await client.get("/conflict")).headers["Allow"] == "POST"
    assert (await client.get("/unavailable")).headers["Retry-After"] == "1"


async def test_every_operation_documents_its_problems(app: FastAPI) -> None:
    operations = [
        operation for methods in app.openapi()["paths"].values() for operation in methods.values()
    ]
    assert operations
    for operation in operations:
        for status in ("4XX", "5XX"):
            assert "application/problem+json" in operation["responses"][status]["content"]
