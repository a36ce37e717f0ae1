"""One number per model, quantization and machine, so that picks can be compared.

    total = quality * (1 - quantization loss) * speed factor
            + 100 when that quality is useful for the role, + 100 more when it stays on the GPU

* quality: points for the role (`evidence`), between the score without and with thinking as
  the machine's speed allows: a chain of thought costs hundreds of tokens, so under
  `SLOW_TOKENS` per second only the score without it counts, from `FAST_TOKENS` on the role's
  share of the other.
* quantization loss: `quantization_loss`.
* speed factor: 1 from the role's comfortable speed on, below it `(speed / comfortable) **
  exponent`; under `USABLE_TOKENS` per second another factor, because waiting starts to hurt.
  The exponent is the preference for speed or quality.
* For embedding models, which are run over whole collections and stay loaded beside another
  model, the share of the memory that they take is weighed instead of decoding speed.

Everything that can grow with a machine (speed, memory, layers on the GPU) moves the total up
or not at all, and a bigger machine has every choice of a smaller one: the best total of a
bigger machine is never lower. That is why being useful, and staying on the GPU, are worth more
than any difference (100 points each), and why nothing here looks at how much memory is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from assistant.fit.records import FitEstimate
from assistant.recommend.evidence import Quality
from assistant.recommend.roles import RoleProfile

Prefer = Literal["speed", "quality", "balance"]

USEFUL_BONUS: Final = 100.0
ON_GPU_BONUS: Final = 100.0
SLOW_TOKENS: Final = 10.0
FAST_TOKENS: Final = 40.0
USABLE_TOKENS: Final = 5.0
"""People read at 5 to 10 tokens/s: below it, an answer is waited for word by word."""
SHORT_CONTEXT_FACTOR: Final = 0.95
ROOMY_SHARE: Final = 0.5
CROWDING_EXPONENT: Final = 0.5
"""What spills over half of the RAM costs: the rest of the computer feels it."""
UNKNOWN_SPEED_FACTOR: Final = 0.8
EMBEDDING_SHARE: Final = 0.15
"""Share of the memory that an embedding model may take before it costs points."""
EMBEDDING_EXPONENT: Final = 0.25

_EXPONENT: Final[dict[Prefer, float]] = {"speed": 0.9, "balance": 0.35, "quality": 0.08}
_USABLE_EXPONENT: Final[dict[Prefer, float]] = {"speed": 1.5, "balance": 1.5, "quality": 0.5}
_COMFORT: Final[dict[Prefer, float]] = {"speed": 3.0, "balance": 1.0, "quality": 0.6}


@dataclass(frozen=True, slots=True)
class Score:
    """The parts of one total; `quality` already has the quantization's loss taken off."""

    total: float
    quality: float
    confidence: float
    speed_factor: float
    quantization_loss: float

    def as_dict(self) -> dict[str, float]:
        """Return the parts, rounded, under their names."""
        return {
            "total": round(self.total, 2),
            "quality": round(self.quality, 2),
            "confidence": round(self.confidence, 2),
            "speed_factor": round(self.speed_factor, 3),
            "quantization_loss": round(self.quantization_loss, 4),
        }


def expected_speed(estimate: FitEstimate) -> float | None:
    """Return the expected decode speed in tokens per second, if there is one."""
    return estimate.speed.decode.expected if estimate.speed.decode else None


def thinking_share(role: RoleProfile, speed: float | None) -> float:
    """Return how much of the with-thinking score counts at a decode speed (None: unknown)."""
    if speed is None:
        return role.thinking_share / 2
    pace = (speed - SLOW_TOKENS) / (FAST_TOKENS - SLOW_TOKENS)
    return role.thinking_share * min(1.0, max(0.0, pace))


def speed_factor(speed: float | None, role: RoleProfile, prefer: Prefer = "balance") -> float:
    """Return 0 to 1 for a decode speed; it never falls when the speed rises."""
    if speed is None:
        return UNKNOWN_SPEED_FACTOR
    comfortable = role.comfortable_speed * _COMFORT[prefer]
    factor = float(min(1.0, max(0.0, speed) / comfortable) ** _EXPONENT[prefer])
    if speed < USABLE_TOKENS:
        factor *= float((max(0.0, speed) / USABLE_TOKENS) ** _USABLE_EXPONENT[prefer])
    return factor


def memory_factor(needed_bytes: int, memory_bytes: int) -> float:
    """Return 0 to 1 for the share of the memory that an embedding model would hold."""
    allowed = EMBEDDING_SHARE * memory_bytes
    return float(min(1.0, allowed / needed_bytes) ** EMBEDDING_EXPONENT) if needed_bytes else 1.0


def total_score(
    quality: Quality,
    role: RoleProfile,
    speed: float | None,
    *,
    on_gpu: bool,
    needed_bytes: int,
    memory_bytes: int,
    loss: float,
    prefer: Prefer = "balance",
    short_context: bool = False,
    crowding: float = 0.0,
) -> Score:
    """Return the score of a model whose fit on the machine is known.

    `speed` is in tokens per second, `loss` the quantization's, `needed_bytes` what the model
    takes of the `memory_bytes` that the machine offers to models;
    `short_context` says that the role's usual context did not fit and a shorter one did;
    `crowding` is the share of the RAM that a model takes which was to run on a GPU.
    """
    if role.name == "embeddings":
        points = quality.plain * (1 - loss)
        factor = memory_factor(needed_bytes, memory_bytes)
    else:
        points = quality.at(thinking_share(role, speed)) * (1 - loss)
        factor = speed_factor(speed, role, prefer)
    if short_context:
        points *= SHORT_CONTEXT_FACTOR
    if crowding > ROOMY_SHARE:
        factor *= (ROOMY_SHARE / crowding) ** CROWDING_EXPONENT
    useful = points >= role.useful_quality
    bonus = (USEFUL_BONUS + ON_GPU_BONUS * on_gpu) if useful else 0.0
    return Score(points * factor + bonus, points, quality.confidence, factor, loss)


def best_possible(
    quality: Quality, role: RoleProfile, speed: float | None, *, loss: float, prefer: Prefer
) -> float:
    """Return a total (without the bonus) that no estimate can beat at that speed."""
    if role.name == "embeddings":
        return quality.plain * (1 - loss)
    points = quality.at(thinking_share(role, speed) if speed is not None else role.thinking_share)
    factor = 1.0 if speed is None else speed_factor(speed, role, prefer)
    return points * (1 - loss) * factor
