"""Takes the rules of the site's folder while the gateway runs: checked whole, prepared beside the cycle, taken between two.

The folder is the daemon's own, so that the next start has the same rules.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from gatewayd.core.kernels import Kernels
from gatewayd.core.site import Digests, compile_site
from gatewayd.core.swap import Swap, prepare
from gatewayd.cycle import Cycle
from gatewayd.device.build import plan_reads
from gatewayd.errors import ConfigError, RequestRefused
from gatewayd.journal.log import Journal
from gatewayd.model.config import SiteConfig
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, ConfigLoaded
from gatewayd.model.view import RulesAnswer
from gatewayd.observe.events import EventLog
from gatewayd.site.digest import digests, site_bytes
from gatewayd.site.kept import keep_site, sources_digest


class RuleSets:
    """Applies rule sets to a running cycle, one at a time.

    Args:
        config: the site that the daemon started with.
        kernels: compiled code.
        cycle: whose plant changes.
        journal: where the new configuration's bytes go.
        relaxations: of security, which a rule set cannot change.
        log: where it is told.
    """

    def __init__(
        self,
        config: SiteConfig,
        kernels: Kernels,
        cycle: Cycle,
        journal: Journal,
        *,
        relaxations: tuple[str, ...],
        log: EventLog,
    ) -> None:
        self._config = config
        self._kernels = kernels
        self._cycle = cycle
        self._journal = journal
        self._relaxations = relaxations
        self._log = log
        self._turn = asyncio.Lock()

    async def apply(self, actor: Actor) -> RulesAnswer:
        """Take what the folder says now; return once it is in force.

        Raises:
            ConfigError: the site has errors, or changes more than rules and guard lists; nothing changed.
            RequestRefused: another rule set is being taken, or the daemon stops; nothing changed.
            StoreError: it could not be journalled; nothing changed.
        """
        if self._turn.locked():
            raise RequestRefused("another rule set is being taken", remedy="Ask again in a moment.")
        async with self._turn:
            config, swap = await asyncio.to_thread(self._prepared)
            await self._journal.put_blob(site_bytes(config))
            site = swap.site
            waited_ns = await self._cycle.take_rules(swap, self._record(site.digests, actor))
            self._config = config
            self._log.event("rules_taken", rules=len(site.rules), kept=len(swap.rules), by=actor.name, uid=actor.uid)
        return RulesAnswer(
            site=site.digests.site.hex(),
            rules=len(site.rules),
            kept=len(swap.rules),
            ended=len(swap.gone),
            waited_ms=waited_ns / 1e6,
        )

    def _record(self, digests: Digests, actor: Actor) -> NewRecord:
        body = ConfigLoaded(
            site_digest=digests.site,
            policy_digest=digests.policy,
            model_digest=digests.model,
            insecure=self._relaxations,
            actor=actor.without_name(),
        )
        return NewRecord(body, {"actor_name": actor.name} if actor.name else {})

    def _prepared(self) -> tuple[SiteConfig, Swap]:
        """Load, check, compile and prepare, in a thread: cycles go on meanwhile."""
        from gatewayd.site.load import require_site  # a daemon whose rules never change does without the parser

        folder = Path(self._config.folder)
        sources = sources_digest(folder)
        config = require_site(folder)
        if (config.gateway, config.devices) != (self._config.gateway, self._config.devices):
            raise ConfigError(
                f"{folder} changes gateway.toml or a device; only rules and guard lists are taken while the gateway runs",
                remedy="Restart the daemon to take this site.",
            )
        plant = self._cycle.plant
        site = compile_site(config, plan_reads=plan_reads, digests=digests(config))
        swap = prepare(plant.state, plant.site, site, self._kernels)
        keep_site(config, sources)
        return config, swap
