"""Sharing objects changes nothing that anybody can read."""

from __future__ import annotations

import msgspec

from gatewayd.model.config import AssetType, Contract
from gatewayd.model.detectors import Ewma
from gatewayd.site.digest import digests, site_bytes, site_from_bytes
from gatewayd.site.load import require_site
from gatewayd.site.sharing import share_equal
from tests.site.conftest import EXAMPLE


def with_contracts(**contracts):
    """The example site with a type of these contracts, each an object of its own as a parser makes them."""
    site = require_site(EXAMPLE)
    kind = AssetType(tags=contracts)
    site = msgspec.structs.replace(site, asset_types=site.asset_types | {"load": kind})
    return site_from_bytes(site_bytes(site))


def test_equal_contracts_of_all_types_are_one_object():
    site = with_contracts(a=Contract(low=1.0, ewma=Ewma()), b=Contract(low=1.0, ewma=Ewma()), c=Contract(low=2.0))
    a, b, c = share_equal(site).asset_types["load"].tags.values()
    assert a is b
    assert c == Contract(low=2.0)


def test_contracts_that_differ_share_the_settings_of_their_detectors():
    site = with_contracts(a=Contract(low=1.0, ewma=Ewma()), b=Contract(low=2.0, ewma=Ewma()))
    a, b = share_equal(site).asset_types["load"].tags.values()
    assert (a.low, b.low) == (1.0, 2.0)
    assert a.ewma is b.ewma


def test_the_site_keeps_its_bytes_and_digests_also_with_both_zeros():
    site = with_contracts(a=Contract(low=0.0), b=Contract(low=-0.0), c=Contract(low=0.0))
    shared = share_equal(site)
    assert site_bytes(shared) == site_bytes(site)
    assert digests(shared) == digests(site)
