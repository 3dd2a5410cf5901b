"""The sliding window (P-SYNC, P-BOUND): pure, so every order of loss, repetition and crash can be tried."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatewayd.sync.outbox import ACK_TIMEOUT_MAX_NS, ACK_TIMEOUT_NS, Limits, Outbox
from gatewayd.sync.wire import Ack

S = 1_000_000_000
LIMITS = Limits(window=3, unacked_max=6, unacked_bytes_max=400, batch_records=4)


def outbox(acked: int = 0, limits: Limits = LIMITS) -> Outbox:
    box = Outbox("gw", "journal", 1, acked=acked, limits=limits)
    box.connected(window=10, now_ns=0)
    return box


def ack(upto: int, *, epoch: int = 1, gap: tuple[int, int] | None = None) -> Ack:
    return Ack("gw", "journal", epoch, upto, (gap,) if gap else ())


def send(box: Outbox, size: int, token: int, now_ns: int = 0) -> tuple[int, int] | None:
    span = box.wanted(size)
    if span is None:
        return None
    box.sent(span.first + span.limit, 10, token, now_ns)
    return span.first, span.first + span.limit


def test_nothing_is_sent_before_a_connection():
    assert Outbox("gw", "journal", 1).wanted(10) is None


def test_batches_follow_each_other_until_the_window_is_full():
    box = outbox()
    assert [send(box, 100, token) for token in (1, 2, 3, 4)] == [(0, 4), (4, 8), (8, 12), None]


def test_a_puback_frees_the_window_but_never_moves_the_cursor():
    box = outbox()
    for token in (1, 2, 3):
        send(box, 100, token)
    box.puback(1)
    assert box.acked == 0
    assert send(box, 100, 4) == (12, 16)


def test_only_the_collectors_ack_moves_the_cursor():
    box = outbox()
    send(box, 100, 1)
    assert box.ack(ack(4), 100, 0)
    assert (box.acked, box.unacked, box.unacked_bytes) == (4, 0, 0)


def test_a_broker_that_allows_fewer_messages_is_obeyed():
    box = Outbox("gw", "journal", 1, limits=LIMITS)
    box.connected(window=1, now_ns=0)
    assert send(box, 100, 1) == (0, 4)
    assert box.wanted(100) is None


def test_unacknowledged_messages_are_bounded_though_the_broker_confirms_each():
    box = outbox()
    for token in range(1, 20):
        send(box, 1000, token)
        box.puback(token)
    assert box.unacked == LIMITS.unacked_max


def test_unacknowledged_bytes_are_bounded():
    box = outbox()
    for token in range(1, 6):
        if (span := box.wanted(1000)) is not None:
            box.sent(span.first + span.limit, 150, token, 0)
            box.puback(token)
    assert box.unacked_bytes == 450  # the message that crosses 400 B is the last


def test_a_reconnect_starts_again_at_the_cursor():
    box = outbox()
    send(box, 100, 1)
    send(box, 100, 2)
    box.ack(ack(4), 100, 0)
    box.disconnected()
    assert box.wanted(100) is None
    box.connected(10, 0)
    assert send(box, 100, 1) == (4, 8)
    assert box.resent == 4


def test_a_reconnect_has_the_whole_window_again():
    box = outbox()
    for token in (1, 2, 3):
        send(box, 100, token)
    box.disconnected()
    box.connected(10, 0)
    assert [send(box, 100, token) for token in (1, 2, 3)] == [(0, 4), (4, 8), (8, 12)]


def test_an_ack_of_another_epoch_stream_or_gateway_is_ignored_and_counted():
    box = outbox()
    send(box, 100, 1)
    foreign = (ack(4, epoch=2), Ack("gw", "blocks", 1, 4), Ack("other", "journal", 1, 4))
    assert [box.ack(message, 100, 0) for message in foreign] == [False, False, False]
    assert (box.acked, box.acks_foreign) == (0, 3)


def test_an_ack_beyond_what_was_sent_counts_up_to_there_only():
    box = outbox()
    send(box, 100, 1)
    assert box.ack(ack(50), 100, 0)
    assert (box.acked, box.acks_refused) == (4, 1)


def test_an_ack_beyond_the_journal_moves_nothing():
    box = outbox()
    send(box, 4, 1)
    assert not box.ack(ack(5), 4, 0)
    assert (box.acked, box.acks_refused) == (0, 1)


def test_an_old_ack_moves_nothing_back():
    box = outbox()
    send(box, 100, 1)
    box.ack(ack(4), 100, 0)
    assert not box.ack(ack(2), 100, 0)
    assert box.acked == 4


def test_a_gap_is_sent_again_once_however_often_the_collector_complains():
    box = outbox()
    for token in (1, 2, 3):
        send(box, 100, token)
        box.puback(token)
    for _ in range(5):
        box.ack(ack(0, gap=(0, 8)), 100, 0)
    assert send(box, 100, 4) == (0, 4)
    box.ack(ack(0, gap=(0, 8)), 100, 0)
    assert send(box, 100, 5) == (4, 8)


def test_a_gap_does_not_free_the_brokers_window():
    """The broker still counts messages it has not confirmed, whatever the collector says."""
    box = outbox()
    for token in (1, 2, 3):
        send(box, 100, token)
    box.ack(ack(0, gap=(0, 8)), 100, 0)
    assert box.wanted(100) is None
    assert box.stuck


def test_silence_is_probed_with_one_message_ever_more_rarely():
    box = outbox()
    send(box, 100, 1, now_ns=0)
    box.puback(1)
    assert not box.tick(ACK_TIMEOUT_NS - 1)
    assert box.tick(ACK_TIMEOUT_NS)
    waits, now_ns, token = [], ACK_TIMEOUT_NS, 2
    for _ in range(8):
        assert send(box, 100, token, now_ns) == (0, 4)
        box.puback(token)
        assert box.wanted(100) is None
        waits.append(box.deadline_ns - now_ns)
        now_ns, token = box.deadline_ns, token + 1
        assert box.tick(now_ns)
    assert [wait // S for wait in waits] == [20, 40, 80, 160, 300, 300, 300, 300]
    assert waits[-1] == ACK_TIMEOUT_MAX_NS


def test_after_silence_one_ack_opens_the_whole_window():
    box = outbox()
    send(box, 100, 1)
    box.puback(1)
    box.tick(ACK_TIMEOUT_NS)
    send(box, 100, 2, ACK_TIMEOUT_NS)
    box.puback(2)
    box.ack(ack(4), 100, ACK_TIMEOUT_NS + S)
    assert [send(box, 100, token) for token in (3, 4, 5, 6)] == [(4, 8), (8, 12), (12, 16), None]


def test_a_collectors_hello_sends_at_once_what_it_may_have_missed():
    box = outbox()
    send(box, 100, 1)
    box.puback(1)
    box.tick(ACK_TIMEOUT_NS)
    send(box, 100, 2)
    box.puback(2)
    box.hello(ACK_TIMEOUT_NS + 1)
    assert [send(box, 100, token) for token in (3, 4)] == [(0, 4), (4, 8)]


def test_the_silence_clock_runs_only_while_something_is_under_way():
    box = outbox()
    assert box.deadline_ns is None
    send(box, 4, 1, now_ns=7 * S)
    assert box.deadline_ns == 7 * S + ACK_TIMEOUT_NS
    box.ack(ack(4), 4, 8 * S)
    assert box.deadline_ns is None


class AnyWeather(RuleBasedStateMachine):
    """Sender, lossy network and collector; whatever happens, the table gets every record once and in order."""

    @initialize()
    def begin(self):
        self.size, self.saved, self.now, self.token = 0, 0, 0, 0
        self.table: list[int] = []
        self.up: list[tuple[int, int, int]] = []  # first, end, token: on the way to the broker
        self.down: list[Ack] = []
        self.box = Outbox("gw", "journal", 1, limits=LIMITS)

    @rule(count=st.integers(1, 12))
    def the_journal_grows(self, count):
        self.size += count

    @rule(window=st.integers(1, 5))
    def connect(self, window):
        self.box.connected(window, self.now)
        self.up.clear()

    @rule()
    def lose_the_connection(self):
        self.box.disconnected()
        self.up.clear()

    @rule()
    def the_gateway_crashes(self):
        self.box = Outbox("gw", "journal", 1, acked=self.saved, limits=LIMITS)
        self.up.clear()

    @rule()
    def save_the_cursor(self):
        self.saved = self.box.acked

    @rule(bytes_sent=st.integers(1, 200), part=st.integers(1, 4))
    def send(self, bytes_sent, part):
        span = self.box.wanted(self.size)
        if span is not None:
            self.token += 1
            end = span.first + min(part, span.limit)
            self.box.sent(end, bytes_sent, self.token, self.now)
            self.up.append((span.first, end, self.token))

    @precondition(lambda self: self.up)
    @rule(lost=st.booleans(), confirmed=st.booleans(), place=st.integers(0, 10))
    def a_message_arrives(self, lost, confirmed, place):
        first, end, token = self.up.pop(place % len(self.up))
        if confirmed:
            self.box.puback(token)
        if not lost:
            self.collect(first, end)

    @precondition(lambda self: self.up)
    @rule(place=st.integers(0, 10))
    def a_message_arrives_twice(self, place):
        first, end, _ = self.up[place % len(self.up)]
        self.collect(first, end)

    @precondition(lambda self: self.down)
    @rule(place=st.integers(0, 10), keep=st.booleans())
    def an_ack_arrives(self, place, keep):
        place %= len(self.down)
        message = self.down[place] if keep else self.down.pop(place)
        self.box.ack(message, self.size, self.now)

    @rule(upto=st.integers(0, 200), epoch=st.integers(0, 2))
    def a_foreign_ack_arrives(self, upto, epoch):
        if epoch != 1:
            self.box.ack(ack(upto, epoch=epoch), self.size, self.now)

    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds):
        self.now += seconds * S
        self.box.tick(self.now)

    @rule()
    def a_collector_says_hello(self):
        self.box.hello(self.now)

    def collect(self, first, end):
        if first > len(self.table):
            self.down.append(ack(len(self.table), gap=(len(self.table), first)))
        else:
            self.table.extend(range(len(self.table), end))
            self.down.append(ack(len(self.table)))
        del self.down[:-8]

    @invariant()
    def nothing_is_acknowledged_that_the_table_has_not(self):
        assert self.saved <= self.box.acked <= len(self.table) <= self.size
        assert self.box.acked <= self.box.next <= self.size

    @invariant()
    def the_window_holds(self):
        assert self.box.in_flight <= LIMITS.window
        assert self.box.unacked <= LIMITS.unacked_max
        assert self.box.unacked_bytes < LIMITS.unacked_bytes_max + 200

    def teardown(self):
        """Once the weather clears, everything gets through in bounded steps."""
        if not hasattr(self, "box"):
            return
        self.box.connected(3, self.now)
        for _ in range(4 * self.size + 10):
            if (span := self.box.wanted(self.size)) is None:
                break
            self.token += 1
            self.box.sent(span.first + span.limit, 10, self.token, self.now)
            self.box.puback(self.token)
            self.collect(span.first, span.first + span.limit)
            self.box.ack(self.down[-1], self.size, self.now)
        assert self.table == list(range(self.size))
        assert self.box.acked == self.size


AnyWeather.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestAnyWeather = AnyWeather.TestCase
