"""Fill the tables of the guides from the catalog and the estimators.

    python scripts/build_guides.py            write
    python scripts/build_guides.py --check    fail when a table is not as it would be written

A guide asks for a table with a pair of comments; what stands between them is replaced:

    <!-- table: NAME -->
    <!-- end table -->

The names are those of `guide_tables.TABLES`. An unknown name or a marker without its end is an
error. Nothing is built from this computer, a person's own catalog, the clock or the network.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from guide_tables import TABLES

from assistant.models.catalog import CATALOG_FILE, Catalog

ROOT = Path(__file__).parent.parent
GUIDES = ROOT / "knowledge"
MARKER = re.compile(
    r"^<!-- table: (?P<name>[^\n]*?) -->\n(?P<body>(?:(?!<!-- table:).)*?)^<!-- end table -->$",
    re.MULTILINE | re.DOTALL,
)
START = re.compile(r"<!--\s*table:")
END = re.compile(r"<!--\s*end table\s*-->")


def main() -> None:
    """Write the guides, or say which are stale and end with 1."""
    parser = argparse.ArgumentParser(description="Build the tables of the guides.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args().check
    try:
        built = build(GUIDES)
    except ValueError as error:
        sys.exit(f"The guides cannot be built: {error}.")
    stale = False
    for path, text in built.items():
        current = path.read_text(encoding="utf-8")
        if current == text:
            continue
        stale = True
        if check:
            name = str(path.relative_to(ROOT))
            diff = difflib.unified_diff(
                current.splitlines(), text.splitlines(), name, "fresh", "", "", n=1
            )
            print("\n".join(diff))
        else:
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print("Tables of the guides are stale: run make docs.", file=sys.stderr)
        sys.exit(1)


def build(folder: Path) -> dict[Path, str]:
    """Return the text of every guide in `folder` with its tables as they are now.

    Raises:
        ValueError: a marker is broken, names an unknown table, or a table cannot be drawn.
    """
    catalog = Catalog(json.loads(CATALOG_FILE.read_bytes()))
    return {
        path: fill_tables(path.read_text(encoding="utf-8"), path.name, catalog)
        for path in sorted(folder.glob("*.md"))
    }


def fill_tables(text: str, where: str, catalog: Catalog) -> str:
    """Return a guide's text with what stands between its table markers replaced.

    Raises:
        ValueError: as `build`.
    """
    pairs = len(MARKER.findall(text))
    if not len(START.findall(text)) == len(END.findall(text)) == pairs:
        raise ValueError(f"{where}: a table marker has no end, or stands on a shared line")

    def table(match: re.Match[str]) -> str:
        name = match["name"].strip()
        if name not in TABLES:
            raise ValueError(f"{where}: there is no table {name!r}")
        try:
            body = TABLES[name](catalog).render(catalog.as_of)
        except ValueError as error:
            raise ValueError(f"{where}: table {name!r}: {error}") from error
        return f"<!-- table: {name} -->\n{body}\n<!-- end table -->"

    return MARKER.sub(table, text)


if __name__ == "__main__":
    main()
