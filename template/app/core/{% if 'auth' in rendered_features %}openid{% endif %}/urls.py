"""URLs of a provider: HTTPS, except on this machine."""

import re
from ipaddress import ip_address

# Strict, because /docs names origins in its Content-Security-Policy.
PROVIDER_URL = re.compile(
    r"(?P<origin>(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?)"
    r"(/[!-~]*)?(\?[!-~]*)?",
    re.IGNORECASE,
)


def check_provider_url(url: str) -> str:
    """Return the origin of a URL.

    Raises ValueError unless it is HTTPS, or HTTP to a loopback address, without a fragment.
    """
    match = PROVIDER_URL.fullmatch(url)
    if match is None or "#" in url:
        raise ValueError("expected a URL such as https://id.example.com/realms/main")
    if match["scheme"].lower() != "https" and not is_loopback(match["host"]):
        raise ValueError("expected https; http is only accepted for localhost, 127.0.0.1 and ::1")
    return match["origin"]


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
