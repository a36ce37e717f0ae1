"""Which model, at which quantization, for which role, and why.

`recommend` answers for one role, `recommend_set` for several sized together,
`choose_quantization` for one model before it is downloaded, `compare_models` for a few side by
side. All are pure: a machine, needs and a catalog in, records out. Each is imported when it is
first asked for, so that a command pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.recommend.compare import compare_models
    from assistant.recommend.picks import recommend
    from assistant.recommend.quantization_choice import choose_quantization
    from assistant.recommend.sets import recommend_set

__all__ = ["choose_quantization", "compare_models", "recommend", "recommend_set"]

_HOMES = {
    "choose_quantization": "quantization_choice",
    "compare_models": "compare",
    "recommend": "picks",
    "recommend_set": "sets",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"assistant.recommend.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
