from difflib import unified_diff

from tools.settings_reference import PAGE, describe_settings


def test_the_settings_reference_is_up_to_date() -> None:
    stored = PAGE.read_text("utf-8").splitlines() if PAGE.exists() else []
    current = describe_settings().splitlines()
    lines = "\n".join(unified_diff(stored, current, "docs/settings.md", "the settings classes"))
    assert not lines, f"run `uv run nox -s settings` and review the changes:\n{lines}"
