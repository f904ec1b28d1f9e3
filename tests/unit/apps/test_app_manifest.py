"""The manifests of a published app: made from what a server is, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft7Validator

from pmcp_lab.apps.manifest import SERVER_SCHEMA, Publication, manifests, schema
from pmcp_lab.apps.served import Page, Served
from pmcp_lab.errors import AppError

URI = "ui://shop/cart"


def served(**info: Any) -> Served:
    tools = (
        {"name": "show_cart", "_meta": {"ui": {"resourceUri": URI}}},
        {"name": "total", "inputSchema": {"type": "object"}},
    )
    told = {"name": "shop", "version": "1.2.0", "title": "The shop", **info}
    return Served(name="shop", info=told, tools=tools, pages={URI: Page(uri=URI, listed={"title": "Cart"})})


@pytest.mark.parametrize("file", ["server.json", "ai-plugin.json"])
def test_the_schemas_are_schemas(file: str) -> None:
    Draft7Validator.check_schema(schema(file))


def test_both_name_the_real_tools() -> None:
    made = manifests(
        served(description="Sells."), Publication(url="https://www.shop.example/mcp", contact="a@b.example")
    )
    server, plugin = made["server.json"], made["ai-plugin.json"]
    assert server["$schema"] == SERVER_SCHEMA
    assert server["name"] == "example.shop/shop"
    assert (server["title"], server["description"], server["version"]) == ("The shop", "Sells.", "1.2.0")
    assert server["remotes"] == [{"type": "streamable-http", "url": "https://www.shop.example/mcp"}]
    (provided,) = server["_meta"].values()
    assert provided["apps"] == [{"tool": "show_cart", "resourceUri": URI}]
    assert plugin["mcp_apps"]["widgets"] == [{"tool": "show_cart", "resource_uri": URI, "title": "Cart"}]
    assert plugin["api"] == {"type": "mcp", "url": "https://www.shop.example/mcp"}
    assert plugin["contact_email"] == "a@b.example"


def test_a_package_needs_no_address() -> None:
    made = manifests(served(), Publication(package="pypi:my-shop", name="io.github.me/shop"))
    assert list(made) == ["server.json"]
    (package,) = made["server.json"]["packages"]
    assert package == {
        "registryType": "pypi",
        "identifier": "my-shop",
        "version": "1.2.0",
        "transport": {"type": "stdio"},
    }
    made = manifests(served(), Publication(package="npm:@me/shop@2.0.0", name="io.github.me/shop"))
    assert made["server.json"]["packages"][0]["identifier"] == "@me/shop"
    assert made["server.json"]["packages"][0]["version"] == "2.0.0"


def test_long_texts_are_cut_at_a_word() -> None:
    made = manifests(
        served(title="A shop of a great many things", description="word " * 60), Publication(url="https://a.example")
    )
    assert made["ai-plugin.json"]["name_for_human"] == "A shop of a great…"
    assert made["server.json"]["description"].endswith(" word…")
    assert len(made["server.json"]["description"]) <= 100


def test_icons_that_the_registry_takes() -> None:
    icons = [{"src": "data:image/png;base64,AA"}, {"src": "https://a.example/i.svg", "mimeType": "image/svg+xml"}]
    made = manifests(served(icons=icons), Publication(url="https://a.example"))
    assert made["server.json"]["icons"] == icons[1:]
    assert made["ai-plugin.json"]["logo_url"] == "https://a.example/i.svg"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "say where it will be reached"),
        ({"url": "http://a.example/mcp"}, "is not encrypted"),
        ({"url": "https://localhost/mcp"}, "nobody else can reach localhost"),
        ({"url": "https://10.0.0.7/mcp"}, "nobody else can reach 10.0.0.7"),
        ({"url": "https://[::1]/mcp"}, "nobody else can reach ::1"),
        ({"url": "ftp://a.example"}, "is no http"),
        ({"url": "https://a.example:99999"}, "is no http"),
        ({"url": "https://a .example"}, "is no http"),
        ({"url": "https://me:secret@a.example"}, "would be published"),
        ({"url": "https://93.184.216.34/mcp"}, "--name io.github"),
        ({"package": "pypi:x"}, "--name io.github"),
        ({"package": "cargo:x", "name": "a.b/c"}, "not 'cargo:x'"),
        ({"url": "https://a.example", "name": "no slash"}, "server.json.name would not fit its schema"),
        ({"url": "https://a.example", "logo": "http://a.example/i.png"}, "ai-plugin.json.logo_url would not fit"),
        ({"url": "https://a.example", "contact": "me"}, "ai-plugin.json.contact_email would not fit"),
    ],
)
def test_what_can_not_be_published(given: dict[str, Any], says: str) -> None:
    with pytest.raises(AppError, match=r"^[^\n]+$") as refused:
        manifests(served(), Publication(**given))
    assert says in str(refused.value)


def test_a_server_without_a_version() -> None:
    with pytest.raises(AppError, match="does not say its version"):
        manifests(served(version=""), Publication(url="https://a.example"))


def test_a_try_out_on_this_machine() -> None:
    made = manifests(served(), Publication(url="http://127.0.0.1:8000/mcp", name="io.github.me/shop", allow_http=True))
    assert made["ai-plugin.json"]["mcp_apps"]["server_url"] == "http://127.0.0.1:8000/mcp"
