"""Who a peer is, and what that allows."""

from __future__ import annotations

import grp
import os
import pwd
import socket

import pytest

from gatewayd.control.peer import Account, Authority, Credentials, Permission, account_of, credentials_of
from gatewayd.model.config import Roles
from gatewayd.model.record import Actor
from tests.control.serving import ROLES, member_of

STRANGER = Credentials(pid=10, uid=4321, gid=4321)


def role(*groups: str, uid: int = 4321) -> str:
    return Authority(ROLES, own_uid=990, lookup=member_of(*groups)).caller(Credentials(10, uid, uid)).role


def test_the_kernel_names_this_very_process():
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert credentials_of(theirs) == Credentials(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())


def test_the_system_database_gives_name_and_groups():
    account = account_of(Credentials(pid=os.getpid(), uid=os.getuid(), gid=os.getgid()))
    user = pwd.getpwuid(os.getuid())
    assert account.name == user.pw_name
    assert grp.getgrgid(user.pw_gid).gr_name in account.groups


def test_a_uid_the_database_does_not_know_has_no_groups():
    assert account_of(Credentials(pid=1, uid=3_999_999_999, gid=0)) == Account("uid 3999999999", frozenset())


def test_groups_of_the_configuration_give_roles_and_the_highest_counts():
    assert role("watchers") == "viewer"
    assert role("operators", "watchers") == "operator"
    assert role("watchers", "engineers", "operators") == "engineer"


def test_a_stranger_has_no_role():
    assert role("users", "audio") == ""
    assert role() == ""


def test_root_and_the_daemons_own_account_are_operators_even_without_groups():
    assert role(uid=0) == "operator"
    assert role(uid=990) == "operator"
    assert role("watchers", uid=990) == "operator"


def test_without_a_roles_table_nobody_else_gets_in():
    authority = Authority(Roles(), own_uid=990, lookup=member_of("watchers", "operators", "wheel", "root"))
    assert authority.caller(STRANGER).role == ""


@pytest.mark.parametrize(
    ("groups", "allowed"),
    [
        ((), {Permission.GLANCE}),
        (("watchers",), {Permission.GLANCE, Permission.READ}),
        (("operators",), set(Permission)),
        (("engineers",), set(Permission)),
    ],
)
def test_each_role_may_do_exactly_this(groups, allowed):
    caller = Authority(ROLES, own_uid=990, lookup=member_of(*groups)).caller(STRANGER)
    assert {permission for permission in Permission if caller.may(permission)} == allowed


def test_the_journal_will_name_uid_role_and_person():
    caller = Authority(ROLES, own_uid=990, lookup=member_of("operators")).caller(STRANGER)
    assert caller.actor() == Actor(uid=4321, role="operator", method="socket", name="ana")
