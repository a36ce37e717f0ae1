"""A computer without a GPU that Ollama uses: there the CPU is where models belong.

That is worth a warning only where it is slow and a faster model is known (`Observations.faster`,
which `assistant recommend` names), or where setup had found a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.doctor.gpu_terms import Case
from assistant.doctor.known_speeds import entry_of, measured_speed
from assistant.doctor.records import Finding, Observations, Term
from assistant.provision.drift import name_key

READING_SPEED: Final = 10.0
"""Tokens per second that a person reads at: from there on, nobody waits for a reply."""

WORTH_IT: Final = 1.5
"""How much faster another model must be to be named."""

_FASTER: Final = "assistant recommend --role chat --prefer speed"


def belongs_on_cpu(case: Case, term: Term) -> bool:
    """Return whether the machine has no GPU that Ollama could use as it is."""
    gpus = case.machine.accelerators
    return term == "no_gpu" or (
        term == "gpu_left_out" and all(gpu.kind != "discrete" for gpu in gpus)
    )


def about_cpu(seen: Observations, case: Case, term: Term, what: str) -> Iterator[Finding]:
    """Yield what there is to say of a model on the CPU of a machine without a GPU."""
    name = case.model.name
    entry = entry_of(seen, name)
    if entry is not None and entry.expected is not None and entry.expected.verdict != "cpu":
        yield Finding(
            "on-cpu",
            "warning",
            what,
            ("no GPU is found now, and setup had planned with one",),
            "assistant hardware\nwhere the GPU is gone for good: assistant setup --anew",
            model=name,
            term=term,
        )
        return
    fix, gain = faster_model(seen, case)
    if entry is not None or fix is None:
        yield Finding("placement", "ok", f"{name.removesuffix(':latest')} on the CPU", model=name)
        return
    yield Finding(
        "on-cpu", "warning", what, (_speed_words(seen, case),), fix, gain, model=name, term=term
    )


def faster_model(seen: Observations, case: Case) -> tuple[str | None, str | None]:
    """Return the command that names a faster model, and which; None where there is no need.

    There is none for embedding models, at a speed that people read at, and where nothing that is
    recommended is clearly faster.
    """
    faster, speed = seen.faster, _speed(seen, case)
    if faster is None or speed is None or speed >= READING_SPEED:
        return None, None
    if case.facts.architecture.is_embedding or "completion" not in case.model.capabilities:
        return None, None
    entry = entry_of(seen, case.model.name)
    own = {name_key(case.model.name)} | ({name_key(entry.model)} if entry is not None else set())
    if name_key(faster.model) in own or faster.tokens_per_s < WORTH_IT * speed:
        return None, None
    ratio = faster.tokens_per_s / speed
    return _FASTER, f"{faster.model}, about {ratio:.{1 if ratio < 3 else 0}f}x faster"


def _speed(seen: Observations, case: Case) -> float | None:
    measured = measured_speed(seen, case.model.name)
    if measured is not None:
        return measured
    decode = case.estimate.speed.decode
    return None if decode is None else decode.expected


def _speed_words(seen: Observations, case: Case) -> str:
    measured = measured_speed(seen, case.model.name)
    if measured is not None:
        return f"no GPU is used; measured here: {measured:.1f} tokens/s"
    decode = case.estimate.speed.decode
    if decode is None:
        return f"no GPU is used; its speed: {case.estimate.speed.basis}"
    return f"no GPU is used; expected here: {decode.low:.0f} to {decode.high:.0f} tokens/s"
