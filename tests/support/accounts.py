"""A served project with accounts, as an attacker meets it: over HTTP, from any address."""

import base64
import hmac
import mailbox
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import requests

from tests.support.brokers import free_port
from tests.support.projects import COMMAND_TIMEOUT, Project, Served, clean_environment

AUTH = "/api/v1/auth"
USERS = "/api/v1/users"
COOKIE = "__Host-session"
PASSWORD = "violet kettle marathon"
NEW_PASSWORD = "orange ladder symphony"
TIMEOUT = 60
# By what their tokens begin with.
OPERATIONS = {
    "sign_up_": "verify-email",
    "invitation_": "accept-invitation",
    "password_reset_": "reset-password",
}
TOKEN = re.compile(r"#token=([\w-]+)")
# Free attempts; further ones have to wait for longer than a test takes.
ATTEMPTS = 5
ATTEMPTS_BY_ADDRESS = 12
SETTINGS = {
    "USERS_LINK_URL": "https://app.example.com",
    "USERS_SIGN_UP_ROLES": "editor",
    # Cheap, but still what a login mainly takes.
    "USERS_ARGON2_MEMORY_COST": "19456",
    "USERS_ARGON2_TIME_COST": "2",
    "USERS_ARGON2_PARALLELISM": "1",
    "USERS_LOGIN_ATTEMPTS": str(ATTEMPTS),
    "USERS_LOGIN_ATTEMPTS_BY_ADDRESS": str(ATTEMPTS_BY_ADDRESS),
    "USERS_LOGIN_WAIT": "600",
    "USERS_MAILS": "100",
    # 32 bytes that protect nothing.
    "USERS_SECRET_KEY": base64.urlsafe_b64encode(b"x" * 32).decode(),
}
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Accounts:
    """The API of a project, its mails, and everything that its log must not have."""

    made: Project
    url: str
    served: Served
    mails: Path
    worker_log: Path
    secrets: set[str] = field(default_factory=set)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        cookie: str | None = None,
        client: str | None = None,
        **headers: str,
    ) -> requests.Response:
        """Send a request; the client's address is a new one unless it is given."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["X-Forwarded-For"] = client or new_client()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if cookie:
            headers["Cookie"] = f"{COOKIE}={cookie}"
        address = self.served.address + path
        return requests.request(method, address, json=body, headers=headers, timeout=TIMEOUT)

    def post(self, path: str, body: object = None, **options: Any) -> requests.Response:
        return self.request("POST", path, body, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def create(self) -> str:
        """Create an account by a sign-up; return its address."""
        email = new_email()
        token = self.ask_for_token("sign-up", email)
        self.expect(204, "verify-email", {"token": token, "password": PASSWORD})
        return email

    def ask_for_token(self, operation: str, email: str) -> str:
        """Return the token in the mail that follows."""
        known = set(self.tokens(email))
        self.expect(202, operation, {"email": email})
        return self.wait_for_token(email, known)

    def wait_for_token(self, email: str, known: Sequence[str] | set[str] = ()) -> str:
        deadline = time.monotonic() + TIMEOUT
        while not (found := [one for one in self.tokens(email) if one not in known]):
            assert time.monotonic() < deadline, f"no mail to {email} has a token"
            time.sleep(0.02)
        self.secrets.update(found)
        while not self.is_valid(found[-1]):
            assert time.monotonic() < deadline, f"the link in a mail to {email} is invalid"
            time.sleep(0.02)
        return found[-1]

    def is_valid(self, token: str) -> bool:
        """Return whether a link can be used, which is a bit later than its mail arrives."""
        operation = next(path for prefix, path in OPERATIONS.items() if token.startswith(prefix))
        body = {"token": token, "password": "too short"}
        [error] = self.expect(422, operation, body).json()["errors"]
        return bool(error["location"] == ["body", "password"])

    def tokens(self, email: str) -> list[str]:
        """Return the tokens of links in all mails to an address."""
        mails = [mail for mail in mailbox.Maildir(self.mails) if mail["To"] == email]
        texts = [str(part.get_payload(decode=True)) for mail in mails for part in mail.walk()]
        return [token for text in texts for token in TOKEN.findall(text)]

    def log_in(self, email: str, password: str = PASSWORD) -> str:
        """Return the token of a new session."""
        token = str(self.expect(200, "token", credentials(email, password)).json()["token"])
        self.secrets.update({token, password})
        return token

    def add_second_factor(self, token: str) -> list[str]:
        """Add an authenticator app to the account of a session; return the recovery codes."""
        factors = "second-factors/totp"
        secret = str(self.expect(201, factors, None, token=token).json()["secret"])
        code = totp_code(secret)
        added = self.expect(200, f"{factors}/confirm", {"code": code}, token=token).json()
        codes = [str(recovery_code) for recovery_code in added["recovery_codes"]]
        self.secrets.update({secret, added["token"], *codes})
        return codes

    def start_login(self, email: str) -> str:
        """Return the challenge of a login that needs a second factor."""
        challenge = str(self.expect(200, "token", credentials(email)).json()["challenge"])
        self.secrets.add(challenge)
        return challenge

    def create_administrator(self) -> str:
        """Return the token of an administrator's session."""
        email = new_email()
        command = ["-m", "app.manage_users", "create-administrator", email]
        variables = {"DATABASE_URL": self.url, "USERS_LINK_URL": SETTINGS["USERS_LINK_URL"]}
        found = TOKEN.search(self.made.run("python", *command, status=0, **variables).stdout)
        assert found
        self.expect(204, "accept-invitation", {"token": found[1], "password": PASSWORD})
        return self.log_in(email)

    def expect(
        self, status: int, operation: str, body: object, **options: Any
    ) -> requests.Response:
        response = self.post(f"{AUTH}/{operation}", body, **options)
        assert response.status_code == status, response.text
        return response

    def is_logged_in(self, token: str) -> bool:
        status = self.get(f"{AUTH}/me", token=token).status_code
        assert status in {200, 401}
        return status == 200

    def log(self) -> str:
        return self.served.log.read_text("utf-8") + self.worker_log.read_text("utf-8")


def credentials(email: str, password: str = PASSWORD) -> dict[str, str]:
    return {"email": email, "password": password}


def totp_code(secret: str) -> str:
    """Return what an authenticator app shows now: https://www.rfc-editor.org/rfc/rfc6238"""
    step = int(time.time() // 30).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(secret), step, "sha1")
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**6:06}"


def new_email() -> str:
    return f"{secrets.token_hex(6)}@example.com"


def new_client() -> str:
    """Return an address that has not been used; uvicorn trusts it, as from a proxy."""
    return "10." + ".".join(str(byte) for byte in secrets.token_bytes(3))


def in_parallel(number: int, function: Callable[[int], ResultT]) -> list[ResultT]:
    """Call a function at once in this many threads; return what it returned."""
    barrier = Barrier(number)

    def call(index: int) -> ResultT:
        barrier.wait(TIMEOUT)
        return function(index)

    with ThreadPoolExecutor(number) as threads:
        return [*threads.map(call, range(number))]


@contextmanager
def serve_accounts(made: Project, folder: Path) -> Iterator[Accounts]:
    """Serve a project, and run a worker and a mail server for it."""
    port, mails, log = free_port(), folder / "mails", folder / "worker.log"
    mailbox.Maildir(mails)
    smtp = ["aiosmtpd", "-n", "-l", f"127.0.0.1:{port}", "-c", "aiosmtpd.handlers.Mailbox"]
    variables = {
        "JOBS_POLL_INTERVAL": "0.05",
        "JOBS_RETRY_WAIT": "0.1",
        "MAIL_HOST": "127.0.0.1",
        "MAIL_PORT": str(port),
        "MAIL_TLS": "none",
        "MAIL_SENDER": "app@example.com",
    }
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        variables |= {**SETTINGS, "DATABASE_URL": url}
        with (
            running(made, [*smtp, str(mails)], folder / "smtp.log"),
            running(made, ["app.worker"], log, **variables),
            made.serve(url, **SETTINGS) as served,
        ):
            yield Accounts(made, url, served, mails, log)


@contextmanager
def running(made: Project, module: list[str], log: Path, **variables: str) -> Iterator[None]:
    """Run a module of the project's environment."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [made.program("python"), "-m", *module],
            cwd=made.path,
            env=clean_environment(made.path) | variables,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(COMMAND_TIMEOUT)
