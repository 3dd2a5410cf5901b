"""The interpreter of the rule programme: a stack machine with three-valued logic, where NaN means unknown."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.day_clock import SECOND, sooner, time_of_day_wait, within_wait
from kernels.opcodes import (
    ABS,
    ADD,
    AGE,
    AND,
    ANOMALY,
    DELAY_OFF,
    DELAY_ON,
    DIVIDE,
    EQUAL,
    FALLING,
    FOR,
    GREATER,
    GREATER_EQUAL,
    HYSTERESIS,
    IF,
    IF_CONDITION,
    INTEGRAL,
    LATCH,
    LESS,
    LESS_EQUAL,
    MAX,
    MIN,
    MULTIPLY,
    NEGATE,
    NOT,
    NOT_EQUAL,
    OR,
    PREV,
    PUSH_BOOLEAN,
    PUSH_CONST,
    PUSH_TAG,
    QUALITY,
    RATE,
    RISING,
    SEQUENCE,
    STALE,
    SUBTRACT,
    TIME_OF_DAY,
    VOTE,
    WITHIN,
)
from kernels.status import NAN as UNKNOWN
from kernels.table import ERROR_BOUNDS
from kernels.window_value import window_value


def rules(
    due_program: I8,
    program_start: I8,
    program_length: I8,
    program_result: F8,
    program_deadline: I8,
    code_word: I8,
    code_number: F8,
    register_since: I8,
    register_value: F8,
    register_previous: F8,
    register_result: F8,
    tag_value: F8,
    tag_status: I8,
    tag_stale: I8,
    tag_anomaly: I8,
    tag_ingest_mono: I8,
    tag_event_time: I8,
    tag_sequence: I8,
    window_tag: I8,
    window_duration: I8,
    window_ring_first: I8,
    window_ring_size: I8,
    window_head: I8,
    window_count: I8,
    window_full_since: I8,
    window_newest_mono: I8,
    window_cut: I8,
    window_patience: I8,
    ring_value: F8,
    ring_time: I8,
    stack: F8,
    changed_program: I8,
    out: I8,
    due_count: int,
    program_count: int,
    now_mono: int,
    day_time: int,
) -> int:
    """Run the due programs and list those whose result changed.

    The code was made by `gatewayd.core.expr.lowering` of a programme that passed the verifier: every index in bounds, the
    stack never deeper than it is, one result. Nothing is checked here. There are no jumps: both sides of `and` and `or`
    always run, because what remembers must see every pass. A word is 256 * argument + operation; a constant stands in
    the word behind, as a float64. The top of the stack is in `top`, never in memory.

    A tag reads as unknown (NaN) unless its severity is Good and it is not stale. Unknown goes through arithmetic and
    comparison; `and`, `or`, `not` are Kleene's. Dividing by zero is unknown, so the sign of a zero is never seen. What
    remembers keeps its state while its input is unknown, except that a `for` begins anew.
    Results are stored with one NaN and one zero, so that two that are equal have the same bits.

    Args:
        due_program: programs to run.
        program_start: first code word.
        program_length: code words.
        program_result: 1 true, 0 false, NaN unknown; or a number.
        program_deadline: boot-clock ns when it must run again by itself; 0 = none.
        code_word: see `kernels.opcodes`.
        code_number: the same words as float64.
        register_since: boot-clock ns since when a condition holds or does not any more, 0 = it rests; of `prev` the
            sample's sequence.
        register_value: the state: 1 or 0, a number, or NaN for none yet.
        register_previous: of `prev`, what it gives.
        register_result: what the operation gave last.
        tag_value: contract units.
        tag_status: OPC UA status codes.
        tag_stale: 1 = no sample for too long.
        tag_anomaly: -1 unknown, 0 none, else a bit mask.
        tag_ingest_mono: boot-clock ns of the last sample.
        tag_event_time: of the last sample, see `kernels.window_update`.
        tag_sequence: samples taken so far.
        window_tag: row.
        window_duration: ns.
        window_ring_first: first cell of the ring.
        window_ring_size: cells of the ring.
        window_head: place of the newest sample.
        window_count: samples held.
        window_full_since: event time; 0 = not covered.
        window_newest_mono: boot-clock ns at which the newest sample arrived.
        window_cut: event time up to which samples are missing; 0 = none is.
        window_patience: ns after the last sample in which the next is waited for rather than looked for what left.
        ring_value: contract units.
        ring_time: event time.
        stack: 16 cells of scratch.
        changed_program: programs whose result changed, in the order of `due_program`.
        out: cell 0 receives the earliest deadline over all programs; 0 = none.
        due_count: programs on the due list.
        program_count: programs in all.
        now_mono: boot-clock ns, > 0.
        day_time: ns since midnight of the site's day; -1 = the wall clock is not to be believed.

    Returns:
        How many results changed; ERROR_BOUNDS for code that never passed the verifier.

    Source of the logic: Kleene 1952, Introduction to Metamathematics, section 64. Reference: tests/core/expr/.
    """
    changed = 0
    for slot in range(due_count):
        program = due_program[slot]
        cell = program_start[program]
        end = cell + program_length[program]
        depth = 0  # values on the stack; the lowest place in memory is never read
        deadline = 0
        top = 0.0
        while cell < end:
            word = code_word[cell]
            op = word & 255
            arg = word >> 8
            cell += 1
            if op == PUSH_TAG:
                stack[depth] = top
                depth += 1
                top = UNKNOWN
                if tag_status[arg] >> 30 == 0 and tag_stale[arg] == 0:
                    top = tag_value[arg]
            elif op == PUSH_CONST:
                stack[depth] = top
                depth += 1
                top = code_number[cell]
                cell += 1
            elif op == LESS:
                depth -= 1
                left = stack[depth]
                top = UNKNOWN if left != left or top != top else (1.0 if left < top else 0.0)
            elif op == LESS_EQUAL:
                depth -= 1
                left = stack[depth]
                top = UNKNOWN if left != left or top != top else (1.0 if left <= top else 0.0)
            elif op == GREATER:
                depth -= 1
                left = stack[depth]
                top = UNKNOWN if left != left or top != top else (1.0 if left > top else 0.0)
            elif op == GREATER_EQUAL:
                depth -= 1
                left = stack[depth]
                top = UNKNOWN if left != left or top != top else (1.0 if left >= top else 0.0)
            elif op == EQUAL:
                depth -= 1
                left = stack[depth]
                top = UNKNOWN if left != left or top != top else (1.0 if left == top else 0.0)
            elif op == NOT_EQUAL:
                depth -= 1
                left = stack[depth]
                top = UNKNOWN if left != left or top != top else (1.0 if left != top else 0.0)
            elif op == AND:
                depth -= 1
                left = stack[depth]
                if left == 0.0 or top == 0.0:
                    top = 0.0
                elif left != left or top != top:
                    top = UNKNOWN
                else:
                    top = 1.0
            elif op == OR:
                depth -= 1
                left = stack[depth]
                if left == 1.0 or top == 1.0:
                    top = 1.0
                elif left != left or top != top:
                    top = UNKNOWN
                else:
                    top = 0.0
            elif op == NOT:
                if top == top:
                    top = 1.0 if top == 0.0 else 0.0
            elif op == ADD:
                depth -= 1
                top = stack[depth] + top
            elif op == SUBTRACT:
                depth -= 1
                top = stack[depth] - top
            elif op == MULTIPLY:
                depth -= 1
                top = stack[depth] * top
            elif op == DIVIDE:
                depth -= 1
                top = UNKNOWN if top == 0.0 else stack[depth] / top
            elif op == MIN:
                depth -= 1
                left = stack[depth]
                if top == top and not top < left:  # an unknown left stays
                    top = left
            elif op == MAX:
                depth -= 1
                left = stack[depth]
                if top == top and not top > left:
                    top = left
            elif op == IF or op == IF_CONDITION:  # noqa: SIM109 # a jump table, not a tuple
                depth -= 2
                condition = stack[depth + 1]
                if condition != condition:
                    top = UNKNOWN
                elif condition != 0.0:
                    top = stack[depth]
            elif op == VOTE:
                voters = arg & 31
                needed = arg >> 5
                depth -= voters - 1
                yes = 1 if top == 1.0 else 0
                no = 1 if top == 0.0 else 0
                for voter in range(depth, depth + voters - 1):
                    if stack[voter] == 1.0:
                        yes += 1
                    elif stack[voter] == 0.0:
                        no += 1
                top = 1.0 if yes >= needed else (0.0 if voters - no < needed else UNKNOWN)
            elif op == NEGATE:
                top = -top
            elif op == ABS:
                top = abs(top)
            elif op == PUSH_BOOLEAN:
                stack[depth] = top
                depth += 1
                top = 1.0 if arg == 1 else 0.0
            elif op == STALE:
                stack[depth] = top
                depth += 1
                top = 1.0 if tag_stale[arg] != 0 else 0.0
            elif op == QUALITY:
                stack[depth] = top
                depth += 1
                severity = tag_status[arg] >> 30
                top = 2.0 if severity == 0 else (1.0 if severity == 1 else 0.0)
            elif op == ANOMALY:
                stack[depth] = top
                depth += 1
                alarm = tag_anomaly[arg]
                top = UNKNOWN if alarm < 0 else (1.0 if alarm > 0 else 0.0)
            elif op == SEQUENCE:
                stack[depth] = top
                depth += 1
                top = float(tag_sequence[arg])
            elif op == AGE:
                watched = int(top)  # a whole number of ns, at most 24 h, or -1: the verifier saw to it
                if tag_sequence[arg] == 0:
                    top = UNKNOWN
                else:
                    heard = tag_ingest_mono[arg]
                    age = now_mono - heard
                    top = age / 1e9
                    if watched < 0:
                        deadline = sooner(deadline, heard + (age // SECOND + 1) * SECOND)
                    elif age < watched:
                        deadline = sooner(deadline, heard + watched)
                    elif age == watched:
                        deadline = sooner(deadline, now_mono + 1)
            elif op == TIME_OF_DAY:
                watched = int(top)  # likewise
                if day_time < 0:
                    top = UNKNOWN
                else:
                    top = day_time / 1e9
                    deadline = sooner(deadline, now_mono + time_of_day_wait(day_time, watched))
                register_result[arg] = top
            elif op == WITHIN:
                depth -= 1
                begin = int(stack[depth])  # likewise
                finish = int(top)
                if day_time < 0:
                    top = UNKNOWN
                else:
                    if begin <= finish:
                        top = 1.0 if begin <= day_time and day_time < finish else 0.0
                    else:
                        top = 1.0 if begin <= day_time or day_time < finish else 0.0
                    deadline = sooner(deadline, now_mono + within_wait(day_time, begin, finish))
                register_result[arg] = top
            elif op == FOR:
                depth -= 1
                due = now_mono + int(top)  # likewise
                top = stack[depth]
                if top == 1.0:
                    since = register_since[arg]
                    if since == 0:
                        register_since[arg] = now_mono
                    else:
                        due += since - now_mono
                    if now_mono < due:
                        top = 0.0
                        deadline = sooner(deadline, due)
                else:  # false stays false, unknown stays unknown
                    register_since[arg] = 0
                register_result[arg] = top
            elif op == DELAY_ON:
                depth -= 1
                due = now_mono + int(top)  # likewise
                top = stack[depth]
                if top == 1.0:
                    since = register_since[arg]
                    if since == 0:
                        register_since[arg] = now_mono
                    else:
                        due += since - now_mono
                    if now_mono < due:
                        top = 0.0
                        deadline = sooner(deadline, due)
                elif top == 0.0:
                    register_since[arg] = 0
                register_result[arg] = top
            elif op == DELAY_OFF:
                depth -= 1
                wait = int(top)  # likewise
                top = stack[depth]
                if top == 1.0:
                    register_since[arg] = 0
                    register_value[arg] = 1.0
                elif top == 0.0 and register_value[arg] == 1.0:
                    since = register_since[arg]
                    if since == 0:
                        since = now_mono
                        register_since[arg] = since
                    if now_mono < since + wait:
                        top = 1.0
                        deadline = sooner(deadline, since + wait)
                    else:
                        register_since[arg] = 0
                        register_value[arg] = 0.0
                register_result[arg] = top
            elif op == HYSTERESIS:
                depth -= 2
                value = stack[depth]
                switch_on = stack[depth + 1]
                if value != value or switch_on != switch_on or top != top:
                    top = UNKNOWN
                else:
                    held = 1.0 if register_value[arg] == 1.0 else 0.0
                    if switch_on >= top:
                        held = 1.0 if value >= switch_on else (0.0 if value <= top else held)
                    else:
                        held = 1.0 if value <= switch_on else (0.0 if value >= top else held)
                    register_value[arg] = held
                    top = held
                register_result[arg] = top
            elif op == LATCH:
                depth -= 1
                sets = stack[depth]
                held = 1.0 if register_value[arg] == 1.0 else 0.0
                if top == 1.0:  # the reset wins
                    top = 0.0
                    register_value[arg] = 0.0
                elif top != top:  # off stays off, unless it may have been set
                    top = 0.0 if held == 0.0 and sets == 0.0 else UNKNOWN
                elif sets == 1.0:
                    top = 1.0
                    register_value[arg] = 1.0
                elif sets != sets:
                    top = 1.0 if held == 1.0 else UNKNOWN
                else:
                    top = held
                register_result[arg] = top
            elif op == RISING or op == FALLING:  # noqa: SIM109 # a jump table, not a tuple
                if top == top:
                    before = register_value[arg]
                    register_value[arg] = top
                    begins = 0.0 if op == RISING else 1.0
                    top = 1.0 if before == begins and top != begins else 0.0
                    if top == 1.0:  # an edge is over in the next pass
                        deadline = sooner(deadline, now_mono + 1)
                register_result[arg] = top
            elif op == PREV:
                depth -= 1
                sequence = int(top)  # out of a tag's: the verifier saw to it
                top = stack[depth]
                if top == top:
                    if sequence != register_since[arg]:
                        register_since[arg] = sequence
                        register_previous[arg] = register_value[arg]
                        register_value[arg] = top
                    top = register_previous[arg]
                register_result[arg] = top
            else:
                if op < RATE or op > INTEGRAL:
                    return ERROR_BOUNDS
                stack[depth] = top
                depth += 1
                top = UNKNOWN
                row = window_tag[arg]
                full_since = window_full_since[arg]
                if full_since != 0 and tag_status[row] >> 30 == 0 and tag_stale[row] == 0:
                    first = window_ring_first[arg]
                    size = window_ring_size[arg]
                    head = window_head[arg]
                    count = window_count[arg]
                    duration = window_duration[arg]
                    newest = ring_time[first + head]
                    ahead = window_newest_mono[arg] - newest  # from event time to the boot clock
                    limit = now_mono - ahead - duration
                    oldest = head - count + 1
                    if oldest < 0:
                        oldest += size
                    while count > 0 and ring_time[first + oldest] < limit:
                        count -= 1
                        oldest += 1
                        if oldest == size:
                            oldest = 0
                    event = tag_event_time[row]
                    is_left_out = event < newest and event < limit
                    wake = 0
                    if window_cut[arg] != 0 and window_cut[arg] >= limit:
                        wake = window_cut[arg] + duration + 1
                    elif 2 * (limit + duration - full_since) < duration:
                        wake = full_since + (duration + 1) // 2
                    else:
                        if count > 0:
                            wake = ring_time[first + oldest] + duration + 1
                        if not is_left_out and tag_value[row] == tag_value[row]:
                            top = window_value(op, count, oldest, head, first, size, ring_value, ring_time)
                    if wake != 0:
                        wake += ahead
                        patient = tag_ingest_mono[row] + window_patience[arg]
                        deadline = sooner(deadline, wake if wake > patient else patient)
        result = top + 0.0  # -0.0 + 0.0 is 0.0
        if result != result:
            result = UNKNOWN
        before = program_result[program]
        if result != before and (result == result or before == before):
            program_result[program] = result
            changed_program[changed] = program
            changed += 1
        program_deadline[program] = deadline

    earliest = 0
    for program in range(program_count):
        deadline = program_deadline[program]
        if deadline != 0 and (earliest == 0 or deadline < earliest):
            earliest = deadline
    out[0] = earliest
    return changed
