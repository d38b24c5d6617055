"""Writes what the recorded runs of scripts/test-sdks have shown into docs/conformance.md.

    versions.py RECORD…

Fails if a test has failed.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from page import FILE, replace, table


def cell(outcomes: list[str]) -> str:
    """How many of the tests passed that were not skipped."""
    count = Counter(outcomes)
    tried = len(outcomes) - count["skipped"]
    return f"{count['passed']} of {tried}" if tried else "–"


def main(files: list[Path]) -> None:
    records = [json.loads(file.read_text()) for file in files]
    suites = sorted({test.split("::")[0] for record in records for test in record["outcomes"]})
    rows, failed = [], []
    missing: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_suite: dict[str, list[str]] = defaultdict(list)
        for test, outcome in record["outcomes"].items():
            by_suite[test.split("::")[0]].append(outcome)
        rows.append([record["version"], *(cell(by_suite[suite]) for suite in suites)])
        failed += [f"{test} with {record['version']}" for test, o in record["outcomes"].items() if o == "failed"]
        for what in record["missing"]:
            # Both clients lack the same.
            if record["version"] not in missing[what.removeprefix("Async")]:
                missing[what.removeprefix("Async")].append(record["version"])
    lines = [*table(["version", *(f"`{suite}`" for suite in suites)], rows), ""]
    lines += ["What the skipped tests use, and which of these versions do not have it:", ""]
    without: dict[str, list[str]] = defaultdict(list)
    for what, versions in missing.items():
        without[", ".join(versions)].append(f"`{what}`")
    lines += [f"- {versions}: {', '.join(sorted(whats))}" for versions, whats in without.items()]
    FILE.write_text(replace(FILE.read_text(), "versions", lines))
    if failed:
        sys.exit("\n".join(["test-sdks: failed:", *(f"  {test}" for test in failed)]))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
