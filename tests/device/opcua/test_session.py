"""One session with a real server: what overlaps, what is renewed, what it leaves behind."""

from __future__ import annotations

import asyncio

import pytest
from asyncua import ua

from gatewayd.errors import DeviceRefused, DeviceUnreachable
from tests.clock import ManualClock
from tests.device.opcua.rig import scan, tag, values


async def test_the_security_token_is_renewed_before_it_expires(linked):
    clock = ManualClock()
    link = await linked(tag("d1"), clock=clock)
    channel = link._session._client.uaclient.protocol._connection
    for _ in range(3):
        token = channel.security_token.TokenId
        await clock.advance(3_000 * 1_000_000_000)  # of one hour
        await scan(link)
        (block,) = await scan(link)
        assert channel.security_token.TokenId == token + 1
        assert values(block.payload, 1) == [1.0]


async def test_no_task_is_left_behind_by_a_link(linked):
    before = asyncio.all_tasks()
    link = await linked(tag("d1"))
    await scan(link)
    assert asyncio.all_tasks() == before


async def test_a_write_during_which_the_transport_fails_is_no_refusal(linked, monkeypatch):
    """The channel's own error messages carry bad status codes too; they say nothing about the write."""
    link = await linked(tag("float64.set", access="rw"))
    uaclient = link._session._client.uaclient

    async def fail(_):
        uaclient.protocol.transport.abort()
        raise ua.UaStatusCodeError(ua.StatusCodes.BadTcpInternalError)

    monkeypatch.setattr(uaclient.session, "write", fail)
    with pytest.raises(DeviceUnreachable, match="while writing"):
        await link.write(0, 1.0)


async def test_a_service_fault_that_answers_a_write_is_a_refusal(linked, monkeypatch):
    link = await linked(tag("float64.set", access="rw"))

    async def fault(_):
        raise ua.UaStatusCodeError(ua.StatusCodes.BadUserAccessDenied)

    monkeypatch.setattr(link._session._client.uaclient.session, "write", fault)
    with pytest.raises(DeviceRefused, match="BadUserAccessDenied"):
        await link.write(0, 1.0)
    await scan(link)


async def test_scans_writes_and_read_backs_may_overlap(linked):
    link = await linked(*(tag(f"d{number}") for number in range(500)), tag("float64.set", access="rw"))
    results = await asyncio.gather(scan(link), link.write(500, 5.5), scan(link), link.read_back(0), scan(link))
    assert [values(results[place][0].payload, 501)[:500] for place in (0, 2, 4)] == [[float(n) for n in range(500)]] * 3
    assert (await link.read_back(500)).value == 5.5
