import httpx2
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs


@pytest.mark.parametrize(("path", "status"), [("/health/live", 200), ("/nowhere", 404)])
async def test_each_request_is_logged_in_one_line_without_secrets(
    client: httpx2.AsyncClient, path: str, status: int
) -> None:
    with capture_logs() as lines:
        await client.get(path, params={"token": "s3cret"}, headers={"Authorization": "s3cret"})
    [line] = lines
    assert (line["method"], line["path"], line["status"]) == ("GET", path, status)
    assert line["duration_ms"] > 0
    assert "s3cret" not in str(line)


async def test_head_requests_are_logged_as_head(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.head("/health/live")
    assert [line["method"] for line in lines] == ["HEAD"]


async def test_an_unhandled_exception_is_logged_as_500(
    lenient_client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    with capture_logs() as lines:
        await lenient_client.get("/broken")
    assert [line["status"] for line in lines] == [500]
