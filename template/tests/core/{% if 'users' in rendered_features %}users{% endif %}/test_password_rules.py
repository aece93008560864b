"""New passwords are long and not among those that attackers try first; nothing else is required."""

import pytest

from app.core.users.passwords.rules import WeakPasswordError, check_new_password
from tests.core.users.conftest import ADA, Configure


@pytest.mark.parametrize(
    "password",
    [
        "violet kettle marathon",
        "qzjvkxwpyfbmtgh",
        "864209753186421",
        "пароль из леса и моря",
        "雨が降ると猫は家で寝ている日々だ",
        "🔑🐢🌋🎻🧊🪁🦉🥝🚲🧵🪨🎲🍄🧭🛶",
        "a b c d e f g h i j k l",
        " leading and trailing ",
        "x1" + "violet-kettle" * 5,
        "my ada password is secret",
        "!@#$%^&*()_+{}|",
    ],
)
def test_good_passwords_are_accepted(password: str) -> None:
    check_new_password(password, ADA)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("violet kettle", "fewer than 15 characters"),
        ("e\u0301" * 10, "fewer than 15 characters"),
        ("x" * 14, "fewer than 15 characters"),
        # Normalized to a phrase of 18 letters.
        ("\ufdfa", "fewer than 15 characters"),
        ("violet " * 147, "more than 1024 bytes"),
        ("abcabcabcabcabcabc", "repeats a short unit"),
        ("aaaaaaaaaaaaaaa", "repeats a short unit"),
        ("1234123412341234", "repeats a short unit"),
        ("qwertyuiopasdfgh", "known from leaks"),
        ("QwertyUiopAsdfgh", "known from leaks"),
        ("123456789012345", "repeats a short unit|known from leaks"),
        ("iloveyou12345678", "known from leaks"),
        ("ada@example.com", "your address"),
        ("Ada.Example.2026", "your address"),
        ("AdaAtExample.com!", "your address"),
        ("app.example.com 1", "names of this service"),
    ],
)
def test_weak_passwords_are_rejected(password: str, reason: str) -> None:
    with pytest.raises(WeakPasswordError, match=reason):
        check_new_password(password, ADA)


def test_reasons_do_not_repeat_the_password() -> None:
    with pytest.raises(WeakPasswordError) as raised:
        check_new_password("qwertyuiopasdfgh", ADA)
    assert "qwerty" not in f"{raised.value} {raised.value.errors}"


def test_the_minimum_length_is_a_setting(configure: Configure) -> None:
    configure(password_min_length=10)
    check_new_password("vketlmarqz", ADA)


def test_names_of_products_are_a_setting(configure: Configure) -> None:
    configure(password_words="Sunny Lamps,Glow")  # noqa: S106
    for password in ("SunnyLamps-glow-1", "glow sunny lamps!"):
        with pytest.raises(WeakPasswordError, match="names of this service"):
            check_new_password(password, ADA)
    check_new_password("my sunny violet kettle", ADA)
