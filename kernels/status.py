"""OPC UA status codes (Part 4, 7.39) that kernels give, by the standard's names. `gatewayd.model.quality` has the rest.

Good means `status >> 30 == 0`, Uncertain 1, Bad 2 or 3.
"""

from __future__ import annotations

UNCERTAIN_NO_COMMUNICATION_LAST_USABLE = 0x408F0000
UNCERTAIN_LAST_USABLE = 0x40900000
UNCERTAIN_SENSOR_NOT_ACCURATE = 0x40930000
BAD_DECODING = 0x80070000
BAD_OUT_OF_RANGE = 0x803C0000
BAD_SENSOR_FAILURE = 0x808C0000
BAD_TYPE_MISMATCH = 0x80740000

# InfoType = DataValue plus the limit bits (Part 4, table 173).
LIMIT_LOW = 0x0500
LIMIT_HIGH = 0x0600
LIMIT_CONSTANT = 0x0700

STATUS_MAX = 0xFFFFFFFF

# The one NaN that is ever stored: 0x7ff8000000000000. A NaN that arithmetic made has a sign that differs between
# processors, so kernels store this one in its place.
NAN = float("nan")
