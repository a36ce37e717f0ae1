"""What one run of the program printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CommandResult:
    """Output and exit code of one run; see the fixture `run_cli`."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The object on stdout."""
        return json.loads(self.stdout)
