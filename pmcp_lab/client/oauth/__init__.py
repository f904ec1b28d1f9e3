"""Being let in by HTTP servers: people (`flow`, `sign_in`), programs (`client_credentials`), tokens (`token_store`)."""

from pmcp_lab.client.oauth.flow import AuthorizedClient, provider, sign_out

__all__ = [
    "AuthorizedClient",
    "provider",
    "sign_out",
]
