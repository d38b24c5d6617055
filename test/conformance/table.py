"""Writes what the recorded runs of the suites have shown into docs/conformance.md.

    table.py PYTHON_RECORD TYPESCRIPT_RECORD

Fails if a public member of an SDK was not shown to work and exceptions.toml does
not say why, and if exceptions.toml says so of one that was.
"""

import json
import re
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from page import FILE, replace, table

HERE = Path(__file__).parent


@dataclass
class Run:
    """What the tests of one SDK have called, and with which result."""

    version: str
    surface: list[str]
    outcomes: dict[str, str]
    # By member and test: whether the call returned.
    calls: dict[str, dict[str, bool]]
    # By test: how many members it calls. The fewer, the more it is about each.
    breadth: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        for tests in self.calls.values():
            for test in tests:
                self.breadth[test] += 1

    def proof(self, member: str, returned: bool) -> list[str]:
        """The tests that passed and in which the member returned or raised, those first that are about little else."""
        tests = [t for t, r in self.calls.get(member, {}).items() if r is returned and self.outcomes.get(t) == "passed"]
        return sorted(tests, key=lambda t: (self.breadth[t], t))


def python_run(file: Path) -> Run:
    record = json.loads(file.read_text())
    return Run(record["version"], record["surface"], record["outcomes"], record["calls"])


def typescript_run(file: Path) -> Run:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    calls: dict[str, dict[str, bool]] = defaultdict(dict)
    for line in lines:
        for call in line["calls"]:
            calls[call["member"]][call["test"]] = call["returned"]
    outcomes = {}
    for suite in json.loads(Path(f"{file}.outcomes").read_text())["testResults"]:
        for test in suite["assertionResults"]:
            # Vitest names a test in a group as it is current: with the group before it.
            name = " > ".join([*test["ancestorTitles"], test["title"]])
            outcomes[f"{Path(suite['name']).name} > {name}"] = test["status"]
    return Run(lines[0]["version"], lines[0]["surface"], outcomes, calls)


class Exceptions:
    """The reasons in exceptions.toml, and which of them were needed."""

    def __init__(self) -> None:
        self.reasons = tomllib.loads((HERE / "exceptions.toml").read_text())
        self.needed: set[str] = set()

    def reason(self, kind: str, member: str) -> str | None:
        for pattern, why in self.reasons[kind].items():
            if fnmatchcase(member, pattern):
                self.needed.add(pattern)
                return why
        return None

    def unneeded(self) -> list[str]:
        return [p for patterns in self.reasons.values() for p in patterns if p not in self.needed]


def short(test: str) -> str:
    """The test without its parameters and its group, as a name that can be searched for."""
    test = re.sub(r"\[.*\]$", "", test)
    file, _, name = test.replace("::", " > ", 1).partition(" > ")
    return f"`{file}` {name}".replace("|", "\\|")


def cell(run: Run, member: str, common: str, exceptions: Exceptions, gaps: list[str]) -> str:
    """What was shown of the member; common is its name in the exceptions, which the clients share."""
    if member not in run.surface:
        return ""
    if tests := run.proof(member, returned=True):
        return short(tests[0])
    if tests := run.proof(member, returned=False):
        if why := exceptions.reason("refused", common):
            return f"refused, {why}: {short(tests[0])}"
        gaps.append(f"{member} only raises errors in tests, as in {short(tests[0])}")
    elif why := exceptions.reason("uncalled", common):
        return f"not called: {why}"
    else:
        gaps.append(f"{member} is called by no test that passes")
    return "**none**"


def split(members: list[str]) -> dict[str, list[str]]:
    """The names of the members by class, both sorted."""
    found: dict[str, set[str]] = defaultdict(set)
    for member in members:
        cls, name = member.split(".")
        found[cls].add(name)
    return {cls: sorted(names) for cls, names in sorted(found.items())}


def python_tables(run: Run, exceptions: Exceptions, gaps: list[str]) -> list[str]:
    lines = [f"Of `daytona` {run.version}, by its synchronous and its asynchronous client.", ""]
    classes = split([m.removeprefix("Async") for m in run.surface])
    for cls, names in classes.items():
        both = any(m.startswith(f"Async{cls}.") for m in run.surface)
        rows = []
        for name in names:
            plain = f"{cls}.{name}"
            row = [f"`{name}`", cell(run, plain, plain, exceptions, gaps)]
            rows.append(row + [cell(run, f"Async{plain}", plain, exceptions, gaps)] if both else row)
        header = [cls, "test", f"test of Async{cls}"] if both else [cls, "test"]
        lines += [*table(header, rows), ""]
    return lines


def typescript_tables(run: Run, exceptions: Exceptions, gaps: list[str]) -> list[str]:
    lines = [f"Of `@daytona/sdk` {run.version}.", ""]
    for cls, names in split(run.surface).items():
        rows = [[f"`{n}`", cell(run, f"{cls}.{n}", f"{cls}.{n}", exceptions, gaps)] for n in names]
        lines += [*table([cls, "test"], rows), ""]
    return lines


def main(python: Path, typescript: Path) -> None:
    exceptions, gaps = Exceptions(), []
    text = FILE.read_text()
    text = replace(text, "python", python_tables(python_run(python), exceptions, gaps))
    text = replace(text, "typescript", typescript_tables(typescript_run(typescript), exceptions, gaps))
    FILE.write_text(text)
    gaps += [f"{pattern} need not be in exceptions.toml" for pattern in exceptions.unneeded()]
    if gaps:
        sys.exit("\n".join(["conformance:", *(f"  {gap}" for gap in gaps)]))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
