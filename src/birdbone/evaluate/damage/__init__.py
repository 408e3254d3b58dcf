"""Whether a changed model is damaged, told from one reading of a few thousand tokens by it and by its baseline.

Owns: the tolerance, the paired reading of both models, the rules and their verdict, the comparison of tokenizers, the
hint at a likely cause. Needs: `core`, `data`, the statistics of judging, numpy; torch for what reads logits.

What counts as harmless: the change costs surely less than the tolerance, in nats a token, of what the baseline predicts
(KL divergence). Storage in 16 bits, rounding to 8, permuted neurons, scaled norms and another order of batches stay
under the default; a file of 4 bits needs a tolerance of its own, which a person gives. The burden of proof lies on the
candidate: it is accepted only if the divergence is shown to lie below the tolerance, so "undecided" is no acceptance.
Theory of operation: three rules have to be shown, two raise an alarm.
- Divergence over all positions, and over the last quarter of each window, where wrong positions do most harm, must be
  shown below their limits. That is an intersection-union test (Berger 1982, Technometrics 24, pages 295 to 300): each
  at the level, and the chance of accepting a damaged candidate stays under the level without any adjustment.
- Where the tokens are not the same, no two positions can be compared: the loss on each piece of text, however it is
  cut into tokens, must be shown below the limit instead, and each text must come back from its tokens as before.
- The loss on the text, and the share of positions that are wrecked, raise an alarm if they surely exceed their limits.
- "Damaged" is said only if a rule surely exceeds its limit after Holm's adjustment for their number.
All intervals are of window means, since the tokens of one window are not independent.

Torch is loaded by `birdbone.evaluate.damage.reading` (`read_pair`), `.sides` (`side_of`) and `.detection`
(`find_damage`), which are imported from there.
"""

from birdbone.evaluate.damage.rules import PairedReading, RuleFinding, judge_reading
from birdbone.evaluate.damage.tokens import TokenComparison, compare_tokens
from birdbone.evaluate.damage.tolerance import SAME_MODEL_NATS, Tolerance
from birdbone.evaluate.damage.verdict import DamageOutcome, DamageVerdict

__all__ = [
    "SAME_MODEL_NATS",
    "DamageOutcome",
    "DamageVerdict",
    "PairedReading",
    "RuleFinding",
    "TokenComparison",
    "Tolerance",
    "compare_tokens",
    "judge_reading",
]
