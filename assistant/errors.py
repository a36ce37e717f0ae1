"""The errors of this program, one tree, and the exit code of each.

AssistantError                       1
├─ UsageError                        2   something typed is wrong
│  ├─ UnknownModelError              2   did-you-mean in the hint
│  ├─ ModelNameError                 2   not a name that Ollama can parse
│  └─ MachineSpecError               2   names the part of --machine not understood
├─ OllamaError                       3   server unreachable or too old
├─ NoFitError                        4   nothing fits this machine
├─ PartlyDoneError                   5   some of the work was done
├─ CatalogError                      1   the shipped or the user's catalog is damaged
├─ GgufError                         1   not a GGUF header, truncated, or implausible
├─ RegistryError                     1   a model registry did not answer as it should
│  └─ OfflineError                   1   the network is needed and forbidden
└─ FileProblemError                  1   a file cannot be read or written

Errors are raised anywhere and printed only by `assistant.cli.main`, as one sentence
(`message`) and what to do next (`hint`).
"""

from __future__ import annotations

from typing import ClassVar


class AssistantError(Exception):
    """Base of every error this program explains to the person.

    `message` is one sentence saying what is wrong; `hint` says what to do next.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AssistantError):
    """Something in the command, or in what it was given, is wrong."""

    code = "usage"
    exit_code = 2


class UnknownModelError(UsageError):
    """No model of that name is known; the hint offers near names."""

    code = "unknown_model"


class ModelNameError(UsageError):
    """The text is not a model name as Ollama parses them."""

    code = "bad_model_name"


class MachineSpecError(UsageError):
    """A machine description that makes no sense; the message names the part."""

    code = "bad_machine"


class OllamaError(AssistantError):
    """The Ollama server cannot be reached, is too old, or answered with an error."""

    code = "ollama"
    exit_code = 3


class NoFitError(AssistantError):
    """Nothing that was asked for fits this machine."""

    code = "nothing_fits"
    exit_code = 4


class PartlyDoneError(AssistantError):
    """Some of the work was done and some was not."""

    code = "partly_done"
    exit_code = 5


class CatalogError(AssistantError):
    """The catalog, or a person's own additions to it, cannot be used."""

    code = "catalog"


class GgufError(AssistantError):
    """The bytes are not a GGUF header this program can trust."""

    code = "gguf"


class RegistryError(AssistantError):
    """A model registry could not be reached or gave an unusable answer."""

    code = "registry"


class OfflineError(RegistryError):
    """The network is needed, and `--offline` forbids it."""

    code = "offline"


class FileProblemError(AssistantError):
    """A file cannot be read or written."""

    code = "file"
