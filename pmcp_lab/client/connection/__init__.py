"""One connection: opened, opened again when it is lost, and asked in either generation of the protocol. What is done
over it is its attendants' business, of which it knows nothing but `Attendant`."""

from pmcp_lab.client.connection.attendant import Attendant, ClientFeatures, Hears
from pmcp_lab.client.connection.connection import Connection
from pmcp_lab.client.connection.freshness import Listed, fresh_until
from pmcp_lab.client.connection.list_changes import CHANGED, ListChanges
from pmcp_lab.client.connection.peer import OnProgress, Peer
from pmcp_lab.client.connection.refusals import ROUNDS
from pmcp_lab.client.connection.resource_changes import ResourceChanges
from pmcp_lab.client.connection.roots import Roots
from pmcp_lab.client.connection.server_log import LEVELS, ServerLog
from pmcp_lab.client.connection.stderr import Overheard
from pmcp_lab.client.connection.streams import Stream

__all__ = [
    "CHANGED",
    "LEVELS",
    "ROUNDS",
    "Attendant",
    "ClientFeatures",
    "Connection",
    "Hears",
    "ListChanges",
    "Listed",
    "OnProgress",
    "Overheard",
    "Peer",
    "ResourceChanges",
    "Roots",
    "ServerLog",
    "Stream",
    "fresh_until",
]
