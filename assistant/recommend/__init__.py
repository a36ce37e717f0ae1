"""Which model, at which quantization, for which role, and why.

`recommend` answers for one role, `recommend_set` for several sized together,
`choose_quantization` for one model before it is downloaded, `compare_models` for a few side by
side. All are pure: a machine, needs and a catalog in, records out.
"""

from assistant.recommend.compare import compare_models
from assistant.recommend.picks import recommend
from assistant.recommend.quantization_choice import choose_quantization
from assistant.recommend.sets import recommend_set

__all__ = ["choose_quantization", "compare_models", "recommend", "recommend_set"]
