"""The interpreter of the rule programme: a stack machine with three-valued logic, where NaN means unknown."""

from __future__ import annotations

import math

from kernels.columns import F8, I4, I8
from kernels.opcodes import (
    ABS,
    ADD,
    AND,
    ANOMALY,
    AVG,
    COUNT,
    DIVIDE,
    EQUAL,
    FOR,
    GREATER,
    GREATER_EQUAL,
    IF,
    INTEGRAL,
    LESS,
    LESS_EQUAL,
    MAX,
    MIN,
    MULTIPLY,
    NEGATE,
    NOT,
    NOT_EQUAL,
    OR,
    PUSH_BOOLEAN,
    PUSH_CONST,
    PUSH_TAG,
    QUALITY,
    RATE,
    STALE,
    STD,
    SUBTRACT,
    VOTE,
    WINDOW_MAX,
    WINDOW_MIN,
)
from kernels.status import NAN as UNKNOWN
from kernels.table import ERROR_BOUNDS


def rules(
    due_program: I8,
    program_start: I8,
    program_length: I8,
    program_result: F8,
    program_deadline: I8,
    code_op: I4,
    code_arg: I4,
    const_value: F8,
    register_since: I8,
    tag_value: F8,
    tag_status: I8,
    tag_stale: I8,
    tag_anomaly: I8,
    window_tag: I8,
    window_duration: I8,
    window_ring_first: I8,
    window_ring_size: I8,
    window_head: I8,
    window_count: I8,
    window_full_since: I8,
    ring_value: F8,
    ring_time: I8,
    stack: F8,
    changed_program: I8,
    out: I8,
    due_count: int,
    program_count: int,
    now_mono: int,
) -> int:
    """Run the due programs and list those whose result changed.

    The code comes from `gatewayd.core.expr.verifier`: every index in bounds, the stack never deeper than it is, one
    result. Nothing is checked here. There are no jumps: both sides of `and` and `or` always run, because a `for` in
    either must see every pass.

    A tag reads as unknown (NaN) unless its severity is Good and it is not stale. Unknown goes through arithmetic and
    comparison; `and`, `or`, `not` are Kleene's. Dividing by zero is unknown, so the sign of a zero is never seen.
    Results are stored with one NaN and one zero, so that two that are equal have the same bits.

    Args:
        due_program: programs to run.
        program_start: first code cell.
        program_length: code cells.
        program_result: 1 true, 0 false, NaN unknown; or a number.
        program_deadline: boot-clock ns when it must run again by itself; 0 = none.
        code_op: see `kernels.opcodes`.
        code_arg: tag row, constant, window or register.
        const_value: numbers; durations in ns.
        register_since: boot-clock ns since when the condition of a `for` holds; 0 = it does not.
        tag_value: contract units.
        tag_status: OPC UA status codes.
        tag_stale: 1 = no sample for too long.
        tag_anomaly: -1 unknown, 0 none, else a bit mask.
        window_tag: row.
        window_duration: ns.
        window_ring_first: first cell of the ring.
        window_ring_size: cells of the ring.
        window_head: place of the newest sample.
        window_count: samples held.
        window_full_since: boot-clock ns; 0 = not covered.
        ring_value: contract units.
        ring_time: boot-clock ns.
        stack: 16 cells of scratch.
        changed_program: programs whose result changed, in the order of `due_program`.
        out: cell 0 receives the earliest deadline over all programs; 0 = none.
        due_count: programs on the due list.
        program_count: programs in all.
        now_mono: boot-clock ns, > 0.

    Returns:
        How many results changed; ERROR_BOUNDS for code that never passed the verifier.

    Source of the logic: Kleene 1952, Introduction to Metamathematics, section 64. Reference: tests/core/expr/.
    """
    changed = 0
    for slot in range(due_count):
        program = due_program[slot]
        cell = program_start[program]
        end = cell + program_length[program]
        depth = 0
        deadline = 0
        while cell < end:
            op = code_op[cell]
            arg = code_arg[cell]
            cell += 1
            if op == PUSH_TAG:
                value = UNKNOWN
                if tag_status[arg] >> 30 == 0 and tag_stale[arg] == 0:
                    value = tag_value[arg]
                stack[depth] = value
                depth += 1
            elif op == PUSH_CONST:
                stack[depth] = const_value[arg]
                depth += 1
            elif LESS <= op <= NOT_EQUAL:
                depth -= 1
                left = stack[depth - 1]
                right = stack[depth]
                if left != left or right != right:
                    stack[depth - 1] = UNKNOWN
                else:
                    holds = False
                    if op == LESS:
                        holds = left < right
                    elif op == LESS_EQUAL:
                        holds = left <= right
                    elif op == GREATER:
                        holds = left > right
                    elif op == GREATER_EQUAL:
                        holds = left >= right
                    elif op == EQUAL:
                        holds = left == right
                    else:
                        holds = left != right
                    stack[depth - 1] = 1.0 if holds else 0.0
            elif op == AND:
                depth -= 1
                left = stack[depth - 1]
                right = stack[depth]
                if left == 0.0 or right == 0.0:
                    stack[depth - 1] = 0.0
                elif left != left or right != right:
                    stack[depth - 1] = UNKNOWN
                else:
                    stack[depth - 1] = 1.0
            elif op == OR:
                depth -= 1
                left = stack[depth - 1]
                right = stack[depth]
                if left == 1.0 or right == 1.0:
                    stack[depth - 1] = 1.0
                elif left != left or right != right:
                    stack[depth - 1] = UNKNOWN
                else:
                    stack[depth - 1] = 0.0
            elif op == NOT:
                left = stack[depth - 1]
                if left == left:
                    stack[depth - 1] = 1.0 if left == 0.0 else 0.0
            elif op == FOR:
                depth -= 1
                if stack[depth - 1] == 1.0:
                    since = register_since[arg]
                    if since == 0:
                        since = now_mono
                        register_since[arg] = since
                    due = since + int(stack[depth])  # a whole number of ns, at most 24 h: the verifier saw to it
                    if now_mono < due:
                        stack[depth - 1] = 0.0
                        if deadline == 0 or due < deadline:
                            deadline = due
                else:  # false stays false, unknown stays unknown
                    register_since[arg] = 0
            elif RATE <= op <= INTEGRAL:
                value = UNKNOWN
                row = window_tag[arg]
                duration = window_duration[arg]
                full_since = window_full_since[arg]
                is_known = tag_status[row] >> 30 == 0 and tag_stale[row] == 0 and tag_value[row] == tag_value[row]
                if is_known and full_since != 0 and 2 * (now_mono - full_since) >= duration:
                    first = window_ring_first[arg]
                    size = window_ring_size[arg]
                    head = window_head[arg]
                    count = window_count[arg]
                    oldest = head - count + 1
                    if oldest < 0:
                        oldest += size
                    limit = now_mono - duration
                    while count > 0 and ring_time[first + oldest] < limit:
                        count -= 1
                        oldest += 1
                        if oldest == size:
                            oldest = 0
                    if op == RATE:
                        if count >= 2:
                            elapsed = ring_time[first + head] - ring_time[first + oldest]
                            if elapsed > 0:
                                value = (ring_value[first + head] - ring_value[first + oldest]) / (elapsed / 1e9)
                    elif op == COUNT:
                        value = float(count)
                    elif WINDOW_MIN <= op <= WINDOW_MAX:
                        for place in range(count):
                            sample = ring_value[first + oldest]
                            if place == 0 or (sample < value if op == WINDOW_MIN else sample > value):
                                value = sample
                            oldest += 1
                            if oldest == size:
                                oldest = 0
                    elif op == INTEGRAL:
                        if count >= 2:
                            value = 0.0
                            for _ in range(count - 1):
                                following = oldest + 1
                                if following == size:
                                    following = 0
                                elapsed = ring_time[first + following] - ring_time[first + oldest]
                                height = ring_value[first + oldest] * 0.5 + ring_value[first + following] * 0.5
                                value += height * (elapsed / 1e9)
                                oldest = following
                    elif count >= 1:
                        cell_of_oldest = oldest
                        total = 0.0
                        for _ in range(count):  # oldest first: the order of a sum is part of its bits
                            total += ring_value[first + oldest]
                            oldest += 1
                            if oldest == size:
                                oldest = 0
                        mean = total / count
                        if op == AVG:
                            value = mean
                        elif op == STD and count >= 2:
                            oldest = cell_of_oldest
                            total = 0.0
                            for _ in range(count):
                                deviation = ring_value[first + oldest] - mean
                                total += deviation * deviation
                                oldest += 1
                                if oldest == size:
                                    oldest = 0
                            value = math.sqrt(total / count)
                stack[depth] = value
                depth += 1
            elif op == ADD:
                depth -= 1
                stack[depth - 1] = stack[depth - 1] + stack[depth]
            elif op == SUBTRACT:
                depth -= 1
                stack[depth - 1] = stack[depth - 1] - stack[depth]
            elif op == MULTIPLY:
                depth -= 1
                stack[depth - 1] = stack[depth - 1] * stack[depth]
            elif op == DIVIDE:
                depth -= 1
                if stack[depth] == 0.0:
                    stack[depth - 1] = UNKNOWN
                else:
                    stack[depth - 1] = stack[depth - 1] / stack[depth]
            elif op == MIN:
                depth -= 1
                left = stack[depth - 1]
                right = stack[depth]
                if right != right or right < left:  # an unknown left stays
                    stack[depth - 1] = right
            elif op == MAX:
                depth -= 1
                left = stack[depth - 1]
                right = stack[depth]
                if right != right or right > left:
                    stack[depth - 1] = right
            elif op == IF:
                depth -= 2
                condition = stack[depth]
                if condition != condition:
                    stack[depth - 1] = UNKNOWN
                elif condition == 0.0:
                    stack[depth - 1] = stack[depth + 1]
            elif op == VOTE:
                depth -= 2
                yes = 0
                no = 0
                for voter in range(depth - 1, depth + 2):
                    if stack[voter] == 1.0:
                        yes += 1
                    elif stack[voter] == 0.0:
                        no += 1
                stack[depth - 1] = 1.0 if yes >= 2 else (0.0 if no >= 2 else UNKNOWN)
            elif op == NEGATE:
                stack[depth - 1] = -stack[depth - 1]
            elif op == ABS:
                stack[depth - 1] = abs(stack[depth - 1])
            elif op == PUSH_BOOLEAN:
                stack[depth] = 1.0 if arg == 1 else 0.0
                depth += 1
            elif op == STALE:
                stack[depth] = 1.0 if tag_stale[arg] != 0 else 0.0
                depth += 1
            elif op == QUALITY:
                severity = tag_status[arg] >> 30
                stack[depth] = 2.0 if severity == 0 else (1.0 if severity == 1 else 0.0)
                depth += 1
            elif op == ANOMALY:
                alarm = tag_anomaly[arg]
                stack[depth] = UNKNOWN if alarm < 0 else (1.0 if alarm > 0 else 0.0)
                depth += 1
            else:
                return ERROR_BOUNDS
        result = stack[0] + 0.0  # -0.0 + 0.0 is 0.0
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
