"""`gatewayd rules`: what an engineer asks of the rules of a site before they run."""

from __future__ import annotations

import click

from gatewayd.cli.lazy import LazyGroup

_VERBS = {
    "check": ("gatewayd.cli.rules_check:check", "List every rule with its place and cost, and every problem."),
    "show": ("gatewayd.cli.rules_check:show_", "Show the code of one rule."),
    "test": ("gatewayd.cli.rules_backtest:backtest", "Tell what would have fired over recorded data."),
    "trace": ("gatewayd.cli.rules_trace:trace_", "Show how the expressions behind a decision came to their values."),
    "apply": ("gatewayd.cli.rules_apply:apply_", "Let the running daemon take the rules of its folder."),
}


@click.group(cls=LazyGroup, lazy=_VERBS)
def rules() -> None:
    """Check the rules of a site, try them on recorded data, and let the daemon take them."""
