"""What can be connected to: command lines, URLs, objects, `mcpServers` files, and how to sign in. Opens nothing."""

from pmcp_lab.client.targets.config_file import Entry, configured, read_config
from pmcp_lab.client.targets.oauth_settings import ClientCredentials, OAuth
from pmcp_lab.client.targets.target import BUNDLED, Command, Local, Target, Url, read_target

__all__ = [
    "BUNDLED",
    "ClientCredentials",
    "Command",
    "Entry",
    "Local",
    "OAuth",
    "Target",
    "Url",
    "configured",
    "read_config",
    "read_target",
]
