"""What writes generated parts of docs/conformance.md shares."""

import sys
from pathlib import Path

FILE = Path(__file__).parents[2] / "docs" / "conformance.md"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]


def replace(page: str, name: str, lines: list[str]) -> str:
    """The page with the lines between the marks of that name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    if not found or end not in rest:
        sys.exit(f"{FILE} does not have the marks {begin.strip()} and {end}")
    return before + begin + "\n" + "\n".join(lines).strip() + "\n\n" + end + rest.partition(end)[2]
