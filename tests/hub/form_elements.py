"""Look at HTML as a browser does: elements with their attributes, fields with their labels."""

from html.parser import HTMLParser


class Elements(HTMLParser):
    """Every element of a text; ``labelled`` are the values of radio buttons inside of labels."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.labelled: set[str | None] = set()
        self._is_in_label = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.found.append((tag, attributes))
        self._is_in_label |= tag == "label"
        if self._is_in_label and tag == "input" and attributes.get("type") == "radio":
            self.labelled.add(attributes["value"])

    def handle_endtag(self, tag: str) -> None:
        self._is_in_label &= tag != "label"

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.found
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]
