"""Gates: rules over what was measured on a candidate and a baseline, and the verdict that they give.

Owns: the rules, the file that they stand in with its floors and environments, and the words of a verdict.
Needs: `core` and the records of benchmarks; SciPy where a comparison is judged.
What is light is here: rules over single measurements, which a recipe has. `judging` judges a whole set of rules by
intervals and needs SciPy, `rule_sets` reads a file of them, `markdown` writes a verdict down.
"""

from birdbone.evaluate.gates.measured import judge
from birdbone.evaluate.gates.verdicts import Finding, Outcome, Verdict, worst_of

__all__ = ["Finding", "Outcome", "Verdict", "judge", "worst_of"]
