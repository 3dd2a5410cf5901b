"""Waiting for news or a deadline."""

from __future__ import annotations

import asyncio

from gatewayd.sync import alarm
from tests.clock import ManualClock


async def test_news_ends_the_wait_before_the_deadline():
    clock, news = ManualClock(), asyncio.Event()
    waiting = asyncio.ensure_future(alarm.wait(news, clock, clock.monotonic_ns() + 100))
    await clock.settle()
    assert not waiting.done()
    news.set()
    await waiting


async def test_the_deadline_ends_the_wait_without_news():
    clock, news = ManualClock(), asyncio.Event()
    waiting = asyncio.ensure_future(alarm.wait(news, clock, clock.monotonic_ns() + 100))
    await clock.advance(99)
    assert not waiting.done()
    await clock.advance(1)
    await waiting
    assert not news.is_set()


async def test_without_a_deadline_only_news_ends_the_wait():
    clock, news = ManualClock(), asyncio.Event()
    waiting = asyncio.ensure_future(alarm.wait(news, clock, None))
    await clock.advance(10**15)
    assert not waiting.done()
    news.set()
    await waiting
