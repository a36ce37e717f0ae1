"""What one sitting of a conversation took: turns, tokens, speed and waiting."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ChatStats:
    """Sums and means over the answers since the session began; None where nothing is known.

    `prompt_tokens` are those read, those from the server's cache included.
    """

    turns: int
    prompt_tokens: int
    generated_tokens: int
    mean_decode_tokens_per_s: float | None
    mean_first_token_s: float | None
    session_s: float


@dataclass(slots=True)
class Tally:
    """Counts up answers; speed is all tokens by all the time that writing them took."""

    turns: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    _decoded_tokens: int = 0
    _decoded_s: float = 0.0
    _waited_s: float = 0.0
    _waits: int = 0
    _started: float = field(default_factory=time.monotonic)

    def add(
        self,
        *,
        prompt_tokens: int | None = None,
        generated_tokens: int | None = None,
        decode_s: float | None = None,
        first_token_s: float | None = None,
    ) -> None:
        """Count one answer; None for what is not known of it."""
        self.turns += 1
        self.prompt_tokens += prompt_tokens or 0
        self.generated_tokens += generated_tokens or 0
        if generated_tokens and decode_s:
            self._decoded_tokens += generated_tokens
            self._decoded_s += decode_s
        if first_token_s is not None:
            self._waited_s += first_token_s
            self._waits += 1

    def stats(self) -> ChatStats:
        """Return the sums and means so far."""
        return ChatStats(
            turns=self.turns,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            mean_decode_tokens_per_s=(
                self._decoded_tokens / self._decoded_s if self._decoded_s else None
            ),
            mean_first_token_s=self._waited_s / self._waits if self._waits else None,
            session_s=time.monotonic() - self._started,
        )
