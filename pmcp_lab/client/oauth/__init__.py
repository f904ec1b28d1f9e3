"""Being let in by HTTP servers: the flow (`flow`), the person's part of it (`sign_in`), tokens (`token_store`)."""

from pmcp_lab.client.oauth.flow import AuthorizedClient, provider, sign_out

__all__ = [
    "AuthorizedClient",
    "provider",
    "sign_out",
]
