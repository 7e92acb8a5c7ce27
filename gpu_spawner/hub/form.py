"""Render the spawn page's form from its model; what it shows is decided in ``page_layout``."""

import re
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from gpu_spawner.hub.page_model import Page

__all__ = ["render_form"]

# Our own environment: KubeSpawner's has no autoescape, and everything on this page that an admin,
# a node label or a user wrote must arrive as text.
_ENVIRONMENT = Environment(
    loader=PackageLoader("gpu_spawner.hub", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_INDENTATION: Final = re.compile(
    r"\s*\n\s*|\s{2,}"
)  # a quarter of the page, and nothing is preformatted


def render_form(page: Page, *, css_url: str, js_url: str, stream_url: str) -> str:
    """Return the HTML that goes inside JupyterHub's own form element.

    Args:
        page: what to show.
        css_url: of our style sheet, with its version.
        js_url: of our script, with its version.
        stream_url: where the script listens for changes.
    """
    template = _ENVIRONMENT.get_template("page.html")
    html = template.render(page=page, css_url=css_url, js_url=js_url, stream_url=stream_url)
    return _INDENTATION.sub("\n", html)
