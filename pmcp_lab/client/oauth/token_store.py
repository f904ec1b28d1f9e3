"""Where sign-ins are kept between kernels: the system's keyring, or else a file that only its owner can read.

One record per server and OAuth client: the client's registration, its tokens, and what was found out about
the server that issued them. How they are got is in `auth`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from pmcp_lab.client.state_folder import state_folder

SERVICE = "pmcp_lab"
"""What the records are filed under in the keyring."""


class TokenStore:
    """The SDK's `TokenStorage`, for one sign-in.

    Args:
        account: What tells this sign-in from others; has no secret in it.
        keep: Whether it outlives the process.
        found: What is known of the authorization server, to be kept along with the tokens.
    """

    def __init__(self, account: str, *, keep: bool, found: Callable[[], dict[str, Any]]) -> None:
        self.client: OAuthClientInformationFull | None = None
        """A client that was registered by hand, which is not kept."""
        self._account = account
        self._keep = keep
        self._found = found
        self._memory: dict[str, Any] = {}

    def record(self) -> dict[str, Any]:
        """What is kept: `client`, `tokens`, `expires_at` (seconds since the epoch), `found`."""
        return (read_record(self._account) if self._keep else None) or dict(self._memory)

    def _change(self, **parts: Any) -> None:
        record = {**self.record(), **parts}
        self._memory = record
        if self._keep:
            write_record(self._account, record)

    async def get_tokens(self) -> OAuthToken | None:
        tokens = (await asyncio.to_thread(self.record)).get("tokens")
        return OAuthToken.model_validate(tokens) if tokens else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        expires_at = None if tokens.expires_in is None else time.time() + tokens.expires_in
        raw = tokens.model_dump(mode="json", exclude_none=True)
        await asyncio.to_thread(self._change, tokens=raw, expires_at=expires_at, found=self._found())

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        if self.client is not None:
            return self.client
        client = (await asyncio.to_thread(self.record)).get("client")
        return OAuthClientInformationFull.model_validate(client) if client else None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        await asyncio.to_thread(self._change, client=client_info.model_dump(mode="json", exclude_none=True))

    def forget(self) -> None:
        self._memory = {}
        if self._keep:
            delete_record(self._account)


def read_record(account: str) -> dict[str, Any] | None:
    keyring = _keyring()
    text = None
    if keyring is not None:
        with contextlib.suppress(keyring.errors.KeyringError):  # locked or refused: the file may have it
            text = keyring.get_password(SERVICE, account)
    if text is None:
        with contextlib.suppress(OSError):  # none was written
            text = _file(account).read_text(encoding="utf-8")
    try:
        record = json.loads(text) if text else None
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def write_record(account: str, record: dict[str, Any]) -> None:
    text = json.dumps(record)
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(keyring.errors.KeyringError):  # locked, or too long for it
            keyring.set_password(SERVICE, account, text)
            _file(account).unlink(missing_ok=True)
            return
    file = _file(account)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
    fresh.replace(file)


def delete_record(account: str) -> None:
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(keyring.errors.KeyringError):  # it never had one
            keyring.delete_password(SERVICE, account)
    _file(account).unlink(missing_ok=True)


def password(service: str, user: str) -> str | None:
    """What a person put into the system's keyring."""
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(keyring.errors.KeyringError):  # locked or refused is as good as absent
            return str(keyring.get_password(service, user) or "") or None
    return None


def _keyring() -> Any:
    """The `keyring` module, where it is installed and has somewhere to keep things."""
    if find_spec("keyring") is None:
        return None
    import keyring
    import keyring.errors

    return keyring if keyring.get_keyring().priority > 0 else None


def _file(account: str) -> Path:
    return state_folder() / f"sign-in-{hashlib.sha256(account.encode()).hexdigest()[:32]}.json"
