"""The resources and resource templates a server lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate

from pmcp_lab.client.catalogue.listing import Listing, first_line
from pmcp_lab.errors import InvalidArguments, UnknownResource, nearest


@dataclass(frozen=True)
class Resource:
    """A resource, or a template of many, as its server describes it; `raw` is the whole description."""

    server: str
    raw: Mapping[str, Any]

    @property
    def uri(self) -> str:
        """The address; of a template with its variables in braces."""
        return str(self.raw.get("uri") or self.raw.get("uriTemplate"))

    @property
    def key(self) -> str:
        return self.uri

    @property
    def template(self) -> bool:
        return "uriTemplate" in self.raw

    @property
    def variables(self) -> list[str]:
        """The variables of a template, in order."""
        return self._parsed.variable_names if self.template else []

    @property
    def name(self) -> str:
        return str(self.raw.get("name") or self.uri)

    @property
    def title(self) -> str:
        return str(self.raw.get("title") or self.name)

    @property
    def description(self) -> str:
        return str(self.raw.get("description") or "")

    @property
    def mime_type(self) -> str | None:
        mime = self.raw.get("mimeType")
        return str(mime) if mime is not None else None

    def expand(self, values: Mapping[str, Any]) -> str:
        """The address with the template's variables filled in.

        Raises:
            InvalidArguments: A variable is missing, or one is given that the template does not have.
        """
        names = self.variables
        unknown = [name for name in values if name not in names]
        needed = [name for name in names if name not in self._parsed.query_variable_names] if self.template else []
        if problems := (
            [f"{name}: not a variable of this template.{nearest(name, names)}" for name in unknown]
            + [f"{name}: missing" for name in needed if name not in values]
        ):
            raise InvalidArguments(f"{self.server}: {self.uri} can't be filled in:\n  " + "\n  ".join(problems))
        return self._parsed.expand({name: str(value) for name, value in values.items()}) if self.template else self.uri

    @property
    def _parsed(self) -> UriTemplate:
        try:
            return UriTemplate.parse(self.uri)
        except InvalidUriTemplate as error:
            raise InvalidArguments(f"{self.server}: {self.uri} is no URI template: {error}") from None

    def row(self) -> dict[str, Any]:
        return {
            "uri": self.uri,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mime_type": self.mime_type,
            "size": self.raw.get("size"),
            "template": self.template,
        }

    def cells(self) -> tuple[str, str, str]:
        kind = ", ".join(word for word in ("template" if self.template else "", self.mime_type or "") if word)
        return self.uri, first_line(self.description or self.title), kind

    def __repr__(self) -> str:
        return f"<Resource {self.server} {self.uri}>"


class Resources(Listing[Resource]):
    """The resources and templates of one server, by URI; shows itself as a table."""

    noun = "resources"
    heads = ("uri", "what it is", "kind")
    joint = "  "

    def missing(self, name: str) -> UnknownResource:
        return UnknownResource(self._server, name, self._items)
