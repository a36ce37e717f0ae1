"""The documentation agrees with the program: generated parts, commands, and what it mentions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from assistant.cli.main import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST_FIRST_LINE = 60


@pytest.mark.slow
def test_generated_files_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_examples_and_a_line_in_the_readme(name: str) -> None:
    command = cli.commands[name]
    first = (command.help or "").strip().splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= LONGEST_FIRST_LINE, first
    assert command.epilog is not None
    assert f"assistant {name}" in command.epilog
    assert f"assistant {name}" in README
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.name} has no help"


def test_the_readme_begins_with_the_two_commands() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert 'assistant ask "what runs on my 8GB card?"' in blocks[0]
    assert len(blocks[0].strip().splitlines()) == 1
    assert blocks[1].strip() == "make test"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.name,
)  # fmt: skip
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_that_are_mentioned_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"`make (\w+)`", text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (
                f"{page} mentions make {target}"
            )
