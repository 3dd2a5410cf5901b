"""`gatewayd status`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gatewayd.cli import show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.model.view import (
    DeviceView,
    JournalView,
    LoopView,
    MemoryView,
    OverrideSummary,
    StatusView,
    StorageView,
    SyncView,
)

STREAM_SHOWN_ABOVE = 0.7


@click.command()
@json_option
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show how the gateway is, at a glance.

    \b
    Examples:
      gatewayd status
      gatewayd status --json | jq .tags
    """
    raw, found = Client(session.socket_path).ask(StatusView, "GET", path_of("status"))
    click.echo(raw if as_json else page(found))


def page(found: StatusView) -> str:
    """Return the status as a technician reads it: what is wrong stands out, the rest is short."""
    mode = show.state(found.mode.upper())
    uptime = f"up {show.span(found.uptime_s)}"
    head = (show.heading(show.clean(found.gateway)), mode, uptime, f"gatewayd {found.version}", f"pid {found.pid}")
    parts = [
        "   ".join(head),
        *([_monitor_line(found.mode_reason)] if found.mode == "monitor" and found.mode_reason else []),
        "",
        show.pairs(
            [
                ("Tags", _tags(found)),
                ("Journal", _journal(found.journal, found.now_ns)),
                ("Witness", witness_line(found.journal)),
                *([("Pruned", show.clean(found.journal.pruned))] if found.journal.pruned else []),
                *([] if found.storage is None else [("Storage", storage_line(found.storage))]),
                ("Overrides", overrides_line(found.overrides, found.now_ns)),
                ("Sync", sync_line(found.sync, found.now_ns)),
                ("Loop", _loop(found.loop)),
                ("Kernels", f"{found.kernels.form} {found.kernels.digest[:12]}"),
                *([] if found.memory is None else [("Memory", memory_line(found.memory))]),
            ]
        ),
    ]
    if found.devices:
        parts += ["", _devices(found.devices)]
    alone = [
        f"{device.name}: unit {', '.join(map(str, device.units_demoted))} does not answer and is left alone for a while"
        for device in found.devices
        if device.units_demoted
    ]
    errors = [device.last_error for device in found.devices if device.last_error and device.state != "connected"]
    parts += _listed("Device errors", errors + alone, "red") + _listed("Warnings", found.warnings, "yellow")
    if found.storage is not None:
        parts += _listed("Storage", storage_warnings(found.storage), "yellow")
    return "\n".join(parts)


def _monitor_line(reason: str) -> str:
    return click.style(f"Automatic writes are off: {show.clean(reason)}", fg="red", bold=True)


def storage_line(storage: StorageView) -> str:
    """Return how full the store is, in one line."""
    fill = f"{storage.fill:.0%} of {storage.limit_bytes / 1e6:.0f} MB"
    colour = {"warning": "yellow", "monitor": "red"}.get(storage.level)
    disk = "; the disk is nearer than the quota" if storage.is_disk_nearer else ""
    return (
        f"{click.style(fill, fg=colour) if colour else fill}{disk}, {storage.disk_free_bytes / 1e6:.0f} MB free on disk"
    )


def storage_warnings(storage: StorageView) -> list[str]:
    """Return what to do, and each stream that has used more than 70 % of its limit."""
    told = [
        f"{stream.name}: {stream.fill:.0%} of {stream.limit_bytes / 1e6:.1f} MB; when full, {stream.when_full}"
        for stream in storage.streams
        if stream.fill > STREAM_SHOWN_ABOVE
    ]
    return [storage.remedy, *told] if storage.remedy else told


def _listed(title: str, lines: Sequence[str], colour: str) -> list[str]:
    """Return a section, or nothing; whole lines, however long: this is what the technician came for."""
    if not lines:
        return []
    return ["", show.heading(title), *(f"  {click.style('!', fg=colour)} {show.clean(line)}" for line in lines)]


def _tags(found: StatusView) -> str:
    tags = found.tags
    told = [f"{tags.good} of {tags.total} good"]
    if tags.uncertain:
        told.append(click.style(f"{tags.uncertain} uncertain", fg="yellow"))
    if tags.bad:
        told.append(click.style(f"{tags.bad} bad", fg="red"))
    return ", ".join(told)


def _journal(journal: JournalView, now_ns: int) -> str:
    health = show.state("healthy") if journal.healthy else show.state("damaged")
    told = [
        health if journal.healthy or not journal.problem else f"{health}: {show.clean(journal.problem)}",
        f"{journal.size} records",
        f"{journal.unsent} not yet in the cloud",
        f"checkpoint {show.ago(journal.checkpoint_time_ns, now_ns)}",
    ]
    return ", ".join(told)


def witness_line(journal: JournalView) -> str:
    """Return what could be cut off the journal without anybody outside being able to tell."""
    if not journal.unwitnessed_entries:
        return f"all {journal.size} records cosigned"
    span = f"{journal.unwitnessed_entries} records of the last {show.span(journal.unwitnessed_age_s)}"
    if not journal.witnessed_size:
        return click.style("nobody has cosigned this journal", fg="yellow") + f": root could rewrite its {span} unseen"
    return f"{journal.witnessed_size} records cosigned; root could cut off the {span} unseen"


def overrides_line(overrides: OverrideSummary, now_ns: int) -> str:
    """Return how many overrides hold and the oldest of them."""
    if not overrides.count:
        return "none"
    held = click.style(f"{overrides.count} held", fg="yellow")
    if not overrides.oldest_point:
        return f"{held}; the oldest since {show.ago(overrides.oldest_since_ns, now_ns)}"
    point, person = show.clean(overrides.oldest_point), show.clean(overrides.oldest_by)
    since, ends = show.ago(overrides.oldest_since_ns, now_ns), show.ago(overrides.oldest_expires_ns, now_ns)
    return f"{held}; oldest {point} by {person}, set {since}, ends {ends}"


def sync_line(sync: SyncView | None, now_ns: int) -> str:
    """Return the cloud link in one line."""
    if sync is None:
        return "no [cloud] configured"
    told = f"{show.state(sync.state)}, {sync.waiting} waiting, last ack {show.ago(sync.last_ack_ns, now_ns)}"
    return f"{told}: {show.clean(sync.last_error)}" if sync.last_error and sync.state != "connected" else told


def _loop(loop: LoopView | None) -> str:
    if loop is None or not loop.cycles:
        return "no cycle yet"
    told = [f"{loop.cycles} cycles", f"busy p99 {_ms(loop.busy_p99_ms)}", f"commit p99 {_ms(loop.commit_p99_ms)}"]
    if loop.decisions:
        told.append(f"response to write p99 {_ms(loop.decision_p99_ms)}")
    if loop.blocks_dropped:
        told.append(click.style(f"{loop.blocks_dropped} responses dropped", fg="red"))
    return ", ".join(told)


_GUARDS = {"prctl": "by prctl", "filter": "by systemd's filter", "system": "by this system"}


def memory_line(memory: MemoryView) -> str:
    """Return what keeps written memory from being executed, and why it is not the daemon itself."""
    guarded = _GUARDS.get(memory.guard, f"by {show.clean(memory.guard)}")  # a newer daemon may know more of them
    told = (
        f"write xor execute {guarded}" if memory.guard else click.style("write xor execute not enforced", fg="yellow")
    )
    return f"{told}: {show.clean(memory.reason)}" if memory.reason else told


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _devices(devices: tuple[DeviceView, ...]) -> str:
    rows = [
        (
            show.clean(device.name),
            device.protocol,
            show.state(device.state),
            f"{device.good}/{device.tags}",
            str(device.scans),
            str(device.overruns),
            "-" if device.latency_ms is None else f"{device.latency_ms:.1f} ms",
        )
        for device in devices
    ]
    head = ("DEVICE", "PROTOCOL", "STATE", "GOOD", "SCANS", "LATE", "LATENCY")
    return show.table(head, rows, right=(3, 4, 5, 6))
