"""Asking registries whether tags have moved: several at once, within one time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from assistant.errors import AssistantError, UnknownModelError
from assistant.models.names import ModelName, parse_model_name
from assistant.models.registry import RegistryModel
from assistant.provision.drift import Upstream

TIME_LIMIT_S: Final = 8.0


def ask_upstream(
    models: Iterable[str],
    read: Callable[[ModelName], RegistryModel],
    *,
    time_limit_s: float = TIME_LIMIT_S,
) -> dict[str, Upstream]:
    """Return what the registries say of these models, by name; what fails is unknown.

    `read` reads one manifest, as `RegistryReader.read` does without the header. All are asked
    at once; what has not answered after `time_limit_s` seconds is left behind. Never raises.
    """
    found: dict[str, Upstream] = {}
    threads = []

    def ask(model: str) -> None:
        found[model] = _one(model, read)

    for model in dict.fromkeys(models):
        thread = threading.Thread(target=ask, args=(model,), daemon=True)
        thread.start()
        threads.append((model, thread))
    deadline = time.monotonic() + time_limit_s
    answers: dict[str, Upstream] = {}
    for model, thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        late = Upstream(why=f"no answer within {time_limit_s:g} s")
        answers[model] = found.get(model, late)
    return answers


def _one(model: str, read: Callable[[ModelName], RegistryModel]) -> Upstream:
    try:
        said = read(parse_model_name(model))
    except UnknownModelError:
        return Upstream(is_absent=True)
    except AssistantError as error:
        return Upstream(why=error.message.rstrip("."))
    except Exception as error:  # noqa: BLE001  a thread's exception would be lost; it is a reason
        return Upstream(why=type(error).__name__)
    if said.notes and said.model_digest is not None:
        return Upstream(why=said.notes[0])
    if said.model_digest is None:
        return Upstream(why="; ".join(said.notes) or "its manifest has no model layer")
    return Upstream(digest=said.model_digest)
