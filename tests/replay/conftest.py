from tests.journal.conftest import clock, journal, store

__all__ = ["clock", "journal", "store"]
