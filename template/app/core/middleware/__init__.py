"""The middleware of the application; each is a file of this folder."""

from fastapi import FastAPI

from app.core.middleware.access_log import install_access_log
from app.core.middleware.body_limit import install_body_limit
from app.core.middleware.cors import install_cors
from app.core.middleware.head_requests import install_head_requests
from app.core.middleware.request_id import install_request_id
from app.core.middleware.retries import install_retries
from app.core.middleware.security_headers import install_security_headers
from app.core.middleware.timeouts import install_timeouts
from app.core.middleware.trusted_hosts import install_trusted_hosts
from app.core.middleware.unexpected_errors import install_unexpected_errors


def install_middleware(app: FastAPI) -> None:
    """Install all middleware, from innermost to outermost; raises SettingsError.

    To remove one, delete its lines here, its file and its test; only unexpected_errors has to stay.
    Add your own in app/main.py.
    """
    install_head_requests(app)
    install_retries(app)
    install_unexpected_errors(app)
    install_body_limit(app)
    install_timeouts(app)
    install_trusted_hosts(app)
    install_cors(app)
    install_access_log(app)
    install_request_id(app)
    install_security_headers(app)
