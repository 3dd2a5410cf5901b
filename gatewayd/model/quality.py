"""Quality is the full OPC UA status code (OPC UA Part 4, 7.39), 32 bits, never a summary of it."""

from __future__ import annotations

GOOD = 0x00000000
GOOD_LOCAL_OVERRIDE = 0x00960000
UNCERTAIN_NO_COMMUNICATION_LAST_USABLE = 0x408F0000
UNCERTAIN_LAST_USABLE = 0x40900000
UNCERTAIN_SENSOR_NOT_ACCURATE = 0x40930000
BAD = 0x80000000
BAD_OUT_OF_MEMORY = 0x80030000
BAD_COMMUNICATION = 0x80050000
BAD_DECODING = 0x80070000
BAD_TIMEOUT = 0x800A0000
BAD_CERTIFICATE_UNTRUSTED = 0x801A0000
BAD_NO_COMMUNICATION = 0x80310000
BAD_WAITING_FOR_INITIAL_DATA = 0x80320000
BAD_NODE_ID_UNKNOWN = 0x80340000
BAD_INDEX_RANGE_INVALID = 0x80360000
BAD_INDEX_RANGE_NO_DATA = 0x80370000
BAD_OUT_OF_RANGE = 0x803C0000
BAD_NOT_SUPPORTED = 0x803D0000
BAD_DATA_LOST = 0x809D0000
BAD_NOT_CONNECTED = 0x808A0000
BAD_DEVICE_FAILURE = 0x808B0000
BAD_SENSOR_FAILURE = 0x808C0000
BAD_NO_MATCH = 0x806F0000
BAD_WRITE_NOT_SUPPORTED = 0x80730000
BAD_TYPE_MISMATCH = 0x80740000

# InfoType = DataValue plus the limit bits (OPC UA Part 4, table 173).
LIMIT_LOW = 0x0500
LIMIT_HIGH = 0x0600
LIMIT_CONSTANT = 0x0700

_NAMES = {
    GOOD: "Good",
    GOOD_LOCAL_OVERRIDE: "Good_LocalOverride",
    UNCERTAIN_NO_COMMUNICATION_LAST_USABLE: "Uncertain_NoCommunicationLastUsableValue",
    UNCERTAIN_LAST_USABLE: "Uncertain_LastUsableValue",
    UNCERTAIN_SENSOR_NOT_ACCURATE: "Uncertain_SensorNotAccurate",
    BAD: "Bad",
    BAD_OUT_OF_MEMORY: "Bad_OutOfMemory",
    BAD_COMMUNICATION: "Bad_CommunicationError",
    BAD_DECODING: "Bad_DecodingError",
    BAD_TIMEOUT: "Bad_Timeout",
    BAD_CERTIFICATE_UNTRUSTED: "Bad_CertificateUntrusted",
    BAD_NO_COMMUNICATION: "Bad_NoCommunication",
    BAD_WAITING_FOR_INITIAL_DATA: "Bad_WaitingForInitialData",
    BAD_NODE_ID_UNKNOWN: "Bad_NodeIdUnknown",
    BAD_INDEX_RANGE_INVALID: "Bad_IndexRangeInvalid",
    BAD_INDEX_RANGE_NO_DATA: "Bad_IndexRangeNoData",
    BAD_OUT_OF_RANGE: "Bad_OutOfRange",
    BAD_NOT_SUPPORTED: "Bad_NotSupported",
    BAD_DATA_LOST: "Bad_DataLost",
    BAD_NOT_CONNECTED: "Bad_NotConnected",
    BAD_DEVICE_FAILURE: "Bad_DeviceFailure",
    BAD_SENSOR_FAILURE: "Bad_SensorFailure",
    BAD_NO_MATCH: "Bad_NoMatch",
    BAD_WRITE_NOT_SUPPORTED: "Bad_WriteNotSupported",
    BAD_TYPE_MISMATCH: "Bad_TypeMismatch",
}
_LIMITS = {LIMIT_LOW: "low", LIMIT_HIGH: "high", LIMIT_CONSTANT: "constant"}


def is_good(status: int) -> bool:
    """Say whether the two severity bits are Good."""
    return status >> 30 & 3 == 0


def severity(status: int) -> str:
    """Return `good`, `uncertain` or `bad`."""
    return ("good", "uncertain", "bad", "bad")[status >> 30 & 3]


def name(status: int) -> str:
    """Return the standard's name of a status code, with its limit bits, e.g. `Bad_SensorFailure (constant)`."""
    base = _NAMES.get(status & 0xFFFF0000, f"0x{status & 0xFFFF0000:08X}")
    limit = _LIMITS.get(status & 0x0700)
    return f"{base} ({limit})" if limit and status & 0x0400 else base
