"""One control cycle. Open this file first: it reads like the diagram in the README.

    blocks -> contract -> twin -> kernels -> decide -> records and commands

`step` is a deterministic function of (state, site, inputs): no clock, no I/O, no await. Replay calls the same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gatewayd.core.contract.decode import TURNS_MAX, passes, take
from gatewayd.core.contract.judge import judge
from gatewayd.core.decide.answers import complete
from gatewayd.core.decide.arbitrate import arbitrate
from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.lifecycle import acknowledge, set_mode, stop
from gatewayd.core.decide.outcomes import expire_trips, take_outcome
from gatewayd.core.decide.people import clear_override, expire_overrides, set_override
from gatewayd.core.decide.rules import advance, expire
from gatewayd.core.detect.watch import ASSET_STEPS, STEPS, watch, watch_assets
from gatewayd.core.detectors import CATALOGUE
from gatewayd.core.kernels import BoundKernel, Kernels
from gatewayd.core.site import NS, Site
from gatewayd.core.state import State
from gatewayd.model.block import Block
from gatewayd.model.decision import Acknowledge, ClearOverride, Effects, Inputs, Request, SetMode, SetOverride, Stop

DAY_NS = 86_400 * NS

KERNEL_NAMES = (
    "decode_modbus_registers",
    "decode_modbus_bits",
    "decode_opcua",
    "decode_opcua_notification",
    "decode_columns",
    "confirm",
    "mark_lost",
    "scale",
    "judge",
    "stale_check",
    *STEPS,
    *ASSET_STEPS,
    "window_update",
    "due_programs",
    "rules",
)


def bind(kernels: Kernels, state: State) -> dict[str, BoundKernel]:
    """Bind every kernel of the cycle to a state's columns; one the site gives no work is bound to nothing.

    What a tag asks of detectors, windows and contract is fixed for the life of a state. A kernel that finds its column
    empty in row after row still fetches it from memory, which at 100,000 tags is what a cycle costs.
    """
    idle = idle_kernels(state)
    return {name: _do_nothing if name in idle else kernels.bind(name, state.columns) for name in KERNEL_NAMES}


def idle_kernels(state: State) -> set[str]:
    """Return the kernels that would pass over every row of this state."""
    has_work = {
        "scale": any(factor != 1.0 for factor in state.column("tag.scale")) or any(state.column("tag.offset")),
        "tail": any(state.column("detector.tail_max")),
        "hold": any(state.column("detector.hold_off")) or any(state.column("detector.hold_for")),
        "verdict": any(state.column("tag.detector_count")),
        "window_update": any(window >= 0 for window in state.column("tag.window_first")),
        "due_programs": bool(state.users),
        **dict.fromkeys(ASSET_STEPS, any(state.column("asset.members"))),
    }
    detectors = {each.name: any(row >= 0 for row in state.column(f"tag.{each.name}_row")) for each in CATALOGUE}
    return {name for name, is_needed in (has_work | detectors).items() if not is_needed}


def _do_nothing(*_: float) -> int:
    return 0


def step(state: State, site: Site, kernels: Mapping[str, BoundKernel], inputs: Inputs) -> Effects:
    """Run one cycle: change `state`, return what is to be journalled, sent and answered.

    Args:
        state: changed in place.
        site: what the state was made for.
        kernels: the result of `bind` for this state.
        inputs: blocks in arrival order, outcomes of earlier writes, requests of people and of the shell.
    """
    draft = Draft.of(inputs)
    for outcome in inputs.outcomes:
        take_outcome(state, site, draft, outcome)
    for first_turn in list(passes(inputs.blocks)) or [[]]:
        turns = [first_turn]
        for turn, blocks in enumerate(turns):
            changed, unfinished = _sample(state, site, kernels, blocks, turn, draft)
            advance(state, site, draft, changed)
            if unfinished and turn + 1 < TURNS_MAX:
                turns.append(unfinished)
    for request in inputs.requests:
        _serve(state, site, draft, request)
    expire_overrides(state, site, draft)
    expire(state, site, draft)
    expire_trips(state, site, draft)
    arbitrate(state, site, draft)
    complete(state, site, draft)
    return draft.effects(_next_deadline(state))


def _sample(
    state: State, site: Site, kernels: Mapping[str, BoundKernel], blocks: Sequence[Block], turn: int, draft: Draft
) -> tuple[list[int], list[Block]]:
    """Take one pass of blocks through contract, detectors and programs.

    Returns:
        The programs whose results changed, and the blocks that hold more samples of the same tags, for another turn.
    """
    state.pass_number += 1
    fresh, unfinished = take(state, kernels, blocks, now_wall_ns=draft.wall_ns, turn=turn)
    fresh = judge(state, kernels, fresh, tag_count=len(site.tags), now_wall_ns=draft.wall_ns, now_mono_ns=draft.mono_ns)
    watch(kernels, fresh)
    if fresh:
        kernels["window_update"](fresh)
    if fresh and site.assets:
        now = {"wall_ns": draft.wall_ns, "mono_ns": draft.mono_ns}
        fresh = watch_assets(kernels, len(site.assets), fresh, pass_number=state.pass_number, **now)
    return _run_programs(state, site, kernels, fresh, draft), unfinished


def _run_programs(state: State, site: Site, kernels: Mapping[str, BoundKernel], fresh: int, draft: Draft) -> list[int]:
    if not fresh and not 0 < state.next_program_mono_ns <= draft.mono_ns:
        return []
    programs = len(site.programme.programs)
    due = kernels["due_programs"](fresh, programs, draft.mono_ns, state.pass_number)
    changed = kernels["rules"](due, programs, draft.mono_ns, (draft.wall_ns + site.utc_offset_ns) % DAY_NS)
    state.next_program_mono_ns = state.column("out.value")[0]
    return list(state.column("changed.program")[:changed])


def _serve(state: State, site: Site, draft: Draft, request: Request) -> None:
    match request:
        case SetOverride():
            set_override(state, site, draft, request)
        case ClearOverride():
            clear_override(state, site, draft, request)
        case SetMode():
            set_mode(state, draft, request)
        case Acknowledge():
            acknowledge(draft, request)
        case Stop():
            stop(state, site, draft, request)


def _next_deadline(state: State) -> int:
    times = (state.next_stale_mono_ns, state.next_program_mono_ns, state.next_decide_mono_ns)
    return min((time for time in times if time > 0), default=0)
