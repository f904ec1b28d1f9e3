"""Who calls, and which tasks are theirs.

Credentials are an owner, and no other caller ever has its tasks. Without them, over HTTP, the id of a task is the
right to it: who knows it may look, wait, answer and cancel, whatever connection, network or process of the server it
is tried on. What is made counts for the network it was made from, and a session lists what was made in it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Literal, get_args

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import principal_components
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST, METHOD_NOT_FOUND
from msgspec.structs import replace

from pmcp_lab.errors import LimitExceeded, QuotaExceeded
from pmcp_lab.server.network import Pace, network_of, unbelieved_proxy
from pmcp_lab.server.request import Request, header, is_modern
from pmcp_lab.tasks import LOCAL, Job, Owner, TaskRecord, TaskStore, resolve_owner
from pmcp_lab.tasks.owner import network_owner, of_calls, owner_named
from pmcp_lab.tasks.scattered import list_some
from pmcp_lab.tasks.secret import store_secret
from pmcp_lab.tasks.store import Page

logger = logging.getLogger(__name__)

OwnerOf = Callable[[Request, str], Owner]
"""Whose a task is that a request names by its id, as far as this caller is concerned."""

ACTING_FOR: ContextVar[Owner | None] = ContextVar("pmcp_lab_acting_for", default=None)
"""Whose requests those are that this process makes of its own server."""

Anonymous = Literal["session", "local", "refuse"]
"""What a caller without credentials may do with tasks over HTTP. Where there is no HTTP it is the local owner.

* "session": have the tasks whose ids it knows. Nobody can guess one, and it holds for as long as the task is kept, on
  any connection and after a restart of the server, in both generations. `tasks/list` of a 2025-11-25 session shows
  what was made in that session; without sessions there is no list. `Limits.tasks_per_owner` and
  `Limits.creations_per_minute` count per network: an IPv4 address, or the /64 of an IPv6 one.
* "local": everybody's tasks are one list with one quota, for a server with one user.
* "refuse": none; every request that is about tasks is refused.
"""

_SESSION: Final = "session"
"""Key of `Job.context`: a sign of the session that a task was made in."""

_SESSIONS: Final = 4_096
_NETWORKS: Final = 8
"""Sessions of which is known from where they made tasks, and the latest networks of each."""


class Callers:
    """Tells the callers of one server apart.

    Args:
        anonymous: See `Anonymous`.

    Raises:
        ValueError: There is no such policy.
    """

    def __init__(self, store: TaskStore, anonymous: Anonymous) -> None:
        if anonymous not in get_args(Anonymous):
            raise ValueError(f"anonymous is one of {', '.join(get_args(Anonymous))}, not {anonymous!r}")
        self._store = store
        self._anonymous = anonymous
        self._pace = Pace()
        self._secret: bytes | None = None
        self._made_from: dict[str, list[Owner]] = {}
        """Owners by the sign of a session, the one that made a task longest ago first."""
        self._proxy_warned = False

    def owner_of(self, ctx: Request, task_id: str) -> Owner:
        """Whose the task is that a request names, for this caller.

        Raises:
            MCPError: The caller is refused (-32600).
        """
        return self._known(ctx) or owner_named(task_id)

    async def create(self, ctx: Request, *, job: Job, behind_call: bool = False, **fields: Any) -> TaskRecord:
        """A new task of the caller's.

        Args:
            behind_call: It stands behind a call, and its caller gets no task: see `owner.of_calls`.
            fields: As for `TaskStore.create`.

        Raises:
            MCPError: The caller is refused (-32600).
            LimitExceeded: Too many tasks were made from its network of late.
            LabError: As `TaskStore.create`.
        """
        known = self._known(ctx)
        if known is not None or ctx.request is None or self._anonymous == "local":
            owner = known or LOCAL
            return await self._store.create(of_calls(owner) if behind_call else owner, job=job, **fields)
        network = network_of(ctx.request)
        self._keep_pace(network, ctx)
        owner, sign = await self._network(network), await self._session(ctx)
        owner = of_calls(owner) if behind_call else owner
        if sign is not None:
            self._note(sign, owner)
            job = replace(job, context={**job.context, _SESSION: sign})
        try:
            return await self._store.create(owner, job=job, **fields)
        except QuotaExceeded:
            self._crowded(ctx)
            raise

    def lists(self, ctx: Request) -> bool:
        """Whether a 2025-11-25 caller can be told apart well enough for `tasks/list`."""
        return (
            self._anonymous != "session" or ctx.request is None or get_access_token() is not None or _has_sessions(ctx)
        )

    async def page(self, ctx: Request, cursor: str | None) -> Page:
        """One page of the caller's list.

        Raises:
            MCPError: The caller is refused (-32600), or has no list (-32601).
            LabError: The cursor is none of this list's (-32602).
        """
        known = self._known(ctx)
        if known is not None or ctx.request is None or self._anonymous == "local":
            return await self._store.list(known or LOCAL, cursor=cursor)
        sign = await self._session(ctx)
        if sign is None:
            raise MCPError(METHOD_NOT_FOUND, "there is no list of tasks without credentials or a session")
        here = await self._network(network_of(ctx.request))
        owners = dict.fromkeys([*self._made_from.get(sign, ()), here])

        def made_here(record: TaskRecord) -> bool:
            return record.job is not None and record.job.context.get(_SESSION) == sign

        return await list_some(self._store, owners, made_here, whose=("session", sign), cursor=cursor)

    # --- who that is ---

    def _known(self, ctx: Request) -> Owner | None:
        """The owner of a caller that has credentials, or that this process is itself."""
        token = get_access_token()
        if token is not None:
            client_id, issuer, subject = principal_components(token)
            return resolve_owner(subject, client_id, issuer=issuer)
        if ctx.request is None:
            return ACTING_FOR.get()
        if self._anonymous == "refuse":
            raise MCPError(INVALID_REQUEST, "tasks need credentials on this server: authenticate first")
        return None

    def _note(self, sign: str, owner: Owner) -> None:
        made_from = self._made_from.pop(sign, [])
        self._made_from[sign] = [*(one for one in made_from if one != owner), owner][-_NETWORKS:]
        if len(self._made_from) > _SESSIONS:
            del self._made_from[next(iter(self._made_from))]

    async def _network(self, network: str) -> Owner:
        return network_owner(hashlib.blake2b(network.encode(), digest_size=6, key=await self._key()).hexdigest())

    async def _session(self, ctx: Request) -> str | None:
        """A sign of the caller's session, whose id is nobody else's business; None where there are no sessions.

        Without them the header is whatever the caller made up. There, no connection remembers a handshake.
        """
        if is_modern(ctx) or ctx.session.client_params is None or ctx.request is None:
            return None
        session = header(ctx, "mcp-session-id") or getattr(ctx.request, "query_params", {}).get("session_id")
        if not session:
            return None
        return hashlib.blake2b(session.encode(), digest_size=8, key=await self._key(), person=b"session").hexdigest()

    async def _key(self) -> bytes:
        if self._secret is None:
            self._secret = await store_secret(self._store)
        return self._secret

    # --- how much ---

    def _keep_pace(self, network: str, ctx: Request) -> None:
        most = self._store.limits.creations_per_minute
        wait = 0.0 if most is None else self._pace.wait(network, most)
        if wait:
            self._crowded(ctx)
            raise LimitExceeded(
                f"at most {most} tasks a minute can be made from one network without credentials; "
                f"try again in {wait:.1f} seconds"
            )

    def _crowded(self, ctx: Request) -> None:
        """Say once where a limit of one network may be a whole proxy's."""
        proxy = unbelieved_proxy(ctx.request)
        if proxy is not None and not self._proxy_warned:
            self._proxy_warned = True
            logger.warning(
                "callers without credentials behind %s share one limit of tasks. If that is a proxy of yours, let "
                "uvicorn believe who it speaks for: --forwarded-allow-ips %s",
                proxy,
                proxy,
            )


def _has_sessions(ctx: Request) -> bool:
    """Whether a handshake begins a session. It is answered before the session has a name."""
    endpoint = getattr(ctx.request, "scope", {}).get("endpoint")
    stateless = getattr(getattr(endpoint, "session_manager", None), "stateless", None)
    # In an app of other making: without sessions, no question ever reaches the client.
    return ctx.session.can_send_request if stateless is None else not stateless
