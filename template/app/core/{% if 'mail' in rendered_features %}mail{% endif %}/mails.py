"""Mails from the templates `NAME.txt` and `NAME.html` in app/modules."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from app.core.mail.addresses import check_address
from app.core.settings import PROJECT_ROOT

TEMPLATES = Environment(
    # The layouts are beside this file.
    loader=FileSystemLoader([PROJECT_ROOT / "app" / "modules", Path(__file__).parent]),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Mail:
    """A mail to one recipient; raises ValueError for an invalid address or subject."""

    to: str
    subject: str
    text: str
    html: str
    reply_to: str | None = None

    def __post_init__(self) -> None:
        check_address(self.to)
        if self.reply_to is not None:
            check_address(self.reply_to)
        # Python decodes encoded words, =?utf-8?…?=, which may contain line breaks.
        if self.subject.splitlines() != [self.subject] or "=?" in self.subject:
            raise ValueError(f"the subject {self.subject!r} must be one line, and without '=?'")


def render(template: str, context: dict[str, object]) -> tuple[str, str, str]:
    """Return the subject, the text and the HTML of a mail.

    Raises `jinja2.TemplateError` for a missing file or variable, and ValueError without a subject.
    """
    plain = TEMPLATES.get_template(f"{template}.txt")
    if (block := plain.blocks.get("subject")) is None:
        raise ValueError(f"{template}.txt: no block `subject`; see docs/mail.md")
    subject = "".join(block(plain.new_context(context))).strip()
    html = TEMPLATES.get_template(f"{template}.html").render(context, subject=subject)
    return subject, plain.render(context), html
