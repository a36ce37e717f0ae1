"""How much quality a quantization costs, from published measurements.

What has been measured for many types on the same model is perplexity against the 16-bit file.
`PERPLEXITY_INCREASE` holds what llama.cpp measured on Llama 3 8B without an importance matrix
(tools/perplexity/README.md, "LLaMA 3 8b Scoreboard"); IQ4_XS and Q2_K_S are its rows with one.

* Llama 3 70B loses more: Q5_K_M 1.2, Q4_K_M 4.8, Q3_K_M 18.8, Q2_K 69.
* Older models lose less: LLaMA 1 7B Q4_K_M 0.9, Q4_K_S 1.7, Q4_1 2.7, Q3_K_M 4.2;
  Llama 2 70B Q4_K_M 1.2, Q3_K_M 4.7, Q2_K 8.8.
* QAT builds lose about half of what Q4_0 does (Google on Gemma 3, 2025). MXFP4 is what gpt-oss
  was trained in: nothing is lost.

Scores on tasks fall less than perplexity rises: over half a million evaluations of Llama 3.1
put 4-bit weights within 1 to 2 % of 16-bit (arXiv 2411.02355), which `SCORE_PER_PERPLEXITY`
reproduces. How much more code and mathematics lose is unsettled (arXiv 2501.03035 finds that
reasoning suffers, 2409.11055 that task difficulty hardly matters): `TASK_SENSITIVITY` leans
to the careful side. Small models lose more (Qwen3, arXiv 2505.02214).
"""

from __future__ import annotations

from typing import Final

PERPLEXITY_INCREASE: Final = {
    "F32": 0.0, "F16": 0.0, "BF16": 0.0, "MXFP4": 0.0,
    "Q8_0": 0.04, "Q6_K": 0.35, "Q5_K_M": 0.91, "Q5_K_S": 1.68, "Q5_1": 1.70, "Q5_0": 2.11,
    "IQ4_XS": 3.66, "Q4_K_M": 2.82, "Q4_K_S": 4.31, "Q4_1": 7.24, "Q4_0": 7.52,
    "Q3_K_L": 8.93, "Q3_K_M": 10.54, "Q3_K_S": 26.2, "Q2_K": 56.5, "Q2_K_S": 49.6,
}  # fmt: skip
"""Percent, against the 16-bit file. See the module's docstring for each source."""
QAT_SHARE: Final = 0.46
SCORE_PER_PERPLEXITY: Final = 0.4
"""Percent of a task score lost per percent of perplexity: 2.8 % costs 1.1 %."""
MAX_LOSS: Final = 0.35
UNKNOWN_LOSS: Final = 0.03
TASK_SENSITIVITY: Final = {
    "code": 1.3, "tools": 1.2, "extract": 1.2, "reasoning": 1.5, "writing": 0.7, "chat": 1.0,
}  # fmt: skip
SMALL_MODEL_PARAMETERS: Final = 3_000_000_000
SMALL_MODEL_FACTOR: Final = 1.5


def perplexity_increase(quantization: str | None, *, aware: bool = False) -> float | None:
    """Return the typical perplexity increase in percent; None for a type nobody measured.

    `aware` says that the build was trained for the quantization (QAT).
    """
    increase = PERPLEXITY_INCREASE.get((quantization or "").upper())
    if increase is None:
        return None
    return increase * QAT_SHARE if aware else increase


def quality_loss(
    quantization: str | None,
    task: str,
    *,
    parameters: int | None = None,
    aware: bool = False,
) -> float:
    """Return the share of a task score (0 to 0.35) that a quantization is taken to cost."""
    increase = perplexity_increase(quantization, aware=aware)
    if increase is None:
        return UNKNOWN_LOSS
    loss = increase * SCORE_PER_PERPLEXITY / 100 * TASK_SENSITIVITY.get(task, 1.0)
    if parameters is not None and parameters < SMALL_MODEL_PARAMETERS:
        loss *= SMALL_MODEL_FACTOR
    return min(MAX_LOSS, loss)
