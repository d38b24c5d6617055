"""Records which tests call which public members of the SDK, and how that ends (pytest --record FILE)."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdk


class Recorder:
    """What a run has called. Only calls in the body of a test count: those of fixtures assert nothing."""

    def __init__(self, file: Path):
        self.file = file
        self.test: str | None = None
        self.calls: dict[str, dict[str, bool]] = defaultdict(dict)
        self.outcomes: dict[str, str] = {}
        self.missing: set[str] = set()
        self.surface = sdk.surface()
        sdk.watch(self.ended)

    def ended(self, member: str, returned: bool) -> None:
        if self.test:
            self.calls[member][self.test] = returned or self.calls[member].get(self.test, False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self.test = item.nodeid
        try:
            return (yield)
        finally:
            self.test = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome
        # What features.py says of a test that it skips: "0.160.0 has no Sandbox.fork".
        if report.skipped and isinstance(report.longrepr, tuple) and " has no " in report.longrepr[2]:
            self.missing.add(report.longrepr[2].partition(" has no ")[2])

    def pytest_sessionfinish(self) -> None:
        record = {
            "sdk": "daytona",
            "version": sdk.version(),
            "surface": self.surface,
            "calls": self.calls,
            "outcomes": self.outcomes,
            "missing": sorted(self.missing),
        }
        self.file.write_text(json.dumps(record, indent=1))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", type=Path, help="write to this file which tests call which members of the SDK")


def pytest_configure(config: pytest.Config) -> None:
    if file := config.getoption("--record"):
        config.pluginmanager.register(Recorder(file.absolute()))
