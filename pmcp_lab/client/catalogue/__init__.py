"""What a server offers, as a cell looks at it: tools, prompts, resources, and what they give. Asks nobody anything
by itself: tools are called through the server that is handed to them. What was listed is kept in `client.listings`."""

from pmcp_lab.client.catalogue.content import Content, Contents, size_text
from pmcp_lab.client.catalogue.listing import Item, Listing, first_line
from pmcp_lab.client.catalogue.prompts import Messages, Prompt, Prompts
from pmcp_lab.client.catalogue.resources import Resource, Resources
from pmcp_lab.client.catalogue.results import ToolResult
from pmcp_lab.client.catalogue.signatures import writable
from pmcp_lab.client.catalogue.tools import Tool, Tools, ToolUser, badges, type_of

__all__ = [
    "Content",
    "Contents",
    "Item",
    "Listing",
    "Messages",
    "Prompt",
    "Prompts",
    "Resource",
    "Resources",
    "Tool",
    "ToolResult",
    "ToolUser",
    "Tools",
    "badges",
    "first_line",
    "size_text",
    "type_of",
    "writable",
]
