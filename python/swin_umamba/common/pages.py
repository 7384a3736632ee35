"""Pages of HTML: their templates and style."""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup

from .text import visible

HOME = "swin_umamba.common"


class Pages:
    """The templates of a package, beside the style sheet that all pages share.

    What a template shows is text: HTML in it is escaped, and control characters are shown.

    Parameters
    ----------
    package
        Its name; the templates are in its folder ``templates``.
    """

    def __init__(self, package: str) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(HOME)]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_as_text,
        )

    def render(self, template: str, **values: Any) -> str:
        """Fill in a template; ``style`` is the style sheet."""
        return self._templates.get_template(template).render(style=Markup(self.source("page.css")), **values)

    def source(self, name: str) -> str:
        """The text of a file beside the templates."""
        assert self._templates.loader is not None
        return self._templates.loader.get_source(self._templates, name)[0]


def _as_text(value: Any) -> Any:
    return visible(value, newlines=True) if isinstance(value, str) and not isinstance(value, Markup) else value
