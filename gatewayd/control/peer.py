"""Who is on the other end of the socket: SO_PEERCRED -> uid -> groups of the system database -> roles. Default: none."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from gatewayd.model.config import Roles
from gatewayd.model.record import Actor

_UCRED = struct.Struct("=iII")  # pid, uid, gid (unix(7))


class Permission(StrEnum):
    """What a route asks of its caller."""

    GLANCE = "see the status without names"
    READ = "read tags, decisions and overrides"
    OPERATE = "set and clear overrides, apply rules, and redact names"


_GRANTS = {
    "engineer": frozenset(Permission),
    "operator": frozenset(Permission),
    "viewer": frozenset((Permission.GLANCE, Permission.READ)),
    "": frozenset((Permission.GLANCE,)),
}


class Credentials(Struct, frozen=True):
    """What the kernel says of a peer. The pid may have been reused since; the uid may be trusted."""

    pid: int
    uid: int
    gid: int


class Account(Struct, frozen=True):
    """What the system database says of a uid."""

    name: str
    groups: frozenset[str]


class Caller(Struct, frozen=True):
    """A peer with its role; the empty role sees the status without names and nothing else."""

    uid: int
    pid: int
    name: str
    role: str

    def may(self, permission: Permission) -> bool:
        """Say whether the role grants a permission."""
        return permission in _GRANTS[self.role]

    def actor(self) -> Actor:
        """Return who the journal will name."""
        return Actor(uid=self.uid, role=self.role, method="socket", name=self.name)


AccountLookup = Callable[[Credentials], Account]


def credentials_of(peer: socket.socket) -> Credentials:
    """Read SO_PEERCRED of a connected Unix socket."""
    return Credentials(*_UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))


def account_of(credentials: Credentials) -> Account:
    """Look a uid up in the system database; an unknown uid has no groups. May block on the network: use a thread."""
    try:
        user = pwd.getpwuid(credentials.uid)
    except KeyError:
        return Account(name=f"uid {credentials.uid}", groups=frozenset())
    gids = os.getgrouplist(user.pw_name, user.pw_gid)
    return Account(name=user.pw_name, groups=frozenset(_group_names(gids)))


def _group_names(gids: list[int]) -> list[str]:
    names = []
    for gid in gids:
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue  # a gid without a name cannot stand in [roles]
    return names


class Authority:
    """Gives callers their roles.

    Args:
        roles: the site's mapping of roles to groups.
        own_uid: the daemon's uid; it and root are operator whatever their groups.
        lookup: the system database.
    """

    def __init__(self, roles: Roles, *, own_uid: int, lookup: AccountLookup = account_of) -> None:
        self._roles = (
            ("engineer", frozenset(roles.engineer)),
            ("operator", frozenset(roles.operator)),
            ("viewer", frozenset(roles.viewer)),
        )
        self._own_uid = own_uid
        self._lookup = lookup

    def caller(self, credentials: Credentials) -> Caller:
        """Return the caller with the highest role its groups give. May block: use a thread."""
        return self.caller_of(credentials, self._lookup(credentials))

    def caller_of(self, credentials: Credentials, account: Account) -> Caller:
        """Return the caller of a known account."""
        return Caller(
            uid=credentials.uid,
            pid=credentials.pid,
            name=account.name,
            role=self._role(credentials.uid, account.groups),
        )

    def _role(self, uid: int, groups: frozenset[str]) -> str:
        for role, allowed in self._roles:
            if groups & allowed:
                return role
            if role == "operator" and uid in (0, self._own_uid):
                return role
        return ""
