from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gatewayd.model.config import SiteConfig
from gatewayd.site.load import LoadedSite, load_site
from gatewayd.site.problem import Problem

EXAMPLE = Path(__file__).resolve().parents[2] / "config"


class SiteFolder:
    """A copy of the example site, to be broken."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str | bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    def append(self, name: str, text: str) -> None:
        self.write(name, (self.path / name).read_text() + text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def line(self, name: str, text: str) -> int:
        """Return the number of the only line that holds a text."""
        (number,) = (n for n, line in enumerate((self.path / name).read_text().splitlines(), 1) if text in line)
        return number

    def load(self) -> LoadedSite:
        return load_site(self.path)

    def config(self) -> SiteConfig:
        loaded = self.load()
        assert loaded.config is not None, loaded.problems
        return loaded.config

    def errors(self) -> list[Problem]:
        loaded = self.load()
        found = [problem for problem in loaded.problems if problem.severity == "error"]
        assert (loaded.config is None) == bool(found)
        return found

    def warnings(self) -> list[Problem]:
        return [problem for problem in self.load().problems if problem.severity == "warning"]

    def only_error(self) -> Problem:
        errors = self.errors()
        assert len(errors) == 1, [problem.message for problem in errors]
        return errors[0]


@pytest.fixture
def site(tmp_path: Path) -> SiteFolder:
    shutil.copytree(EXAMPLE, tmp_path / "site")
    return SiteFolder(tmp_path / "site")
