"""Writes what the recorded runs of scripts/test-sdks have shown into docs/conformance.md.

    versions.py RECORD…

Fails if a test has failed that known_failures.toml does not have, or passed that it has.
"""

import json
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

from page import FILE, replace, table

HERE = Path(__file__).parent


def cell(outcomes: list[str]) -> str:
    """How many tests passed, and what became of the others."""
    count = Counter(outcomes)
    passed = f"{count['passed']} of {len(outcomes) - count['skipped']}"
    return "–" if count["skipped"] == len(outcomes) else passed


def main(files: list[Path]) -> None:
    records = [json.loads(file.read_text()) for file in files]
    known = tomllib.loads((HERE / "known_failures.toml").read_text())
    suites = sorted({test.split("::")[0] for record in records for test in record["outcomes"]})
    rows, wrong = [], []
    missing: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_suite: dict[str, list[str]] = defaultdict(list)
        for test, outcome in record["outcomes"].items():
            by_suite[test.split("::")[0]].append(outcome)
        rows.append([f"`{record['version']}`", *(cell(by_suite[suite]) for suite in suites)])
        failed = {test.split("::")[1] for test, outcome in record["outcomes"].items() if outcome == "failed"}
        expected = set(known.get(record["version"], {}))
        wrong += [f"{record['version']}: {test} failed" for test in sorted(failed - expected)]
        wrong += [
            f"{record['version']}: {test} need not be in known_failures.toml" for test in sorted(expected - failed)
        ]
        for what in record["missing"]:
            missing[what].append(record["version"])
    lines = [*table(["version", *(f"`{suite}`" for suite in suites)], rows), ""]
    lines += ["Tests that were skipped, by what the versions do not have:", ""]
    for what, versions in sorted(missing.items(), key=lambda item: (-len(item[1]), item[0])):
        span = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
        lines.append(f"- {span}: `{what}`")
    if known:
        lines += ["", "Failures that are the version's own:", ""]
        for version, tests in known.items():
            lines += [f"- {version}, `{test}`: {why}" for test, why in tests.items()]
    FILE.write_text(replace(FILE.read_text(), "versions", lines))
    if wrong:
        sys.exit("\n".join(["test-sdks:", *(f"  {line}" for line in wrong)]))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
