"""A site as canonical bytes, and the digests that decisions cite."""

from __future__ import annotations

import hashlib

import msgspec

from gatewayd.core.site import Digests
from gatewayd.model.config import SiteConfig

_DECODER = msgspec.json.Decoder(SiteConfig, strict=True)


def site_bytes(config: SiteConfig) -> bytes:
    """Return a site as JSON: fields in declared order, names in file order, defaults written out.

    File order is kept because it decides: of two rules with one slot the first wins. The folder is left out, so that
    the same site has the same bytes on every machine.
    """
    return msgspec.json.encode(msgspec.structs.replace(config, folder=""))


def site_from_bytes(content: bytes) -> SiteConfig:
    """Return the site that `site_bytes` wrote.

    Raises:
        msgspec.ValidationError: the bytes are no site of this version.
    """
    return _DECODER.decode(content)


def digests(config: SiteConfig, content: bytes = b"") -> Digests:
    """Return SHA-256 of the whole site, of what may be done (points and rules), and of the twin model.

    Args:
        config: the site.
        content: its `site_bytes`, if they are at hand.
    """
    rules = {name: asset_type.rule for name, asset_type in config.asset_types.items()}
    contracts = {name: (kind.tags, kind.together) for name, kind in config.asset_types.items()}
    return Digests(
        site=_sha256(content or site_bytes(config)),
        policy=_sha256(msgspec.json.encode((config.points, config.rules, rules))),
        model=_sha256(msgspec.json.encode((contracts, config.assets))),
    )


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
