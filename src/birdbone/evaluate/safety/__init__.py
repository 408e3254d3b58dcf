"""Safety: what a model replies to requests that are harmful, and to harmless ones that only sound so.

Owns: readers of HarmBench, AdvBench, StrongREJECT and MaliciousInstruct, a set of harmless requests of our own, two
classifiers by rules (refusal, toxicity) and what they get right on labelled sets.
Needs: `core`, the `Judge` of `benchmarks`, `audits`, `statistics`, numpy. No torch: what computes is the judge.
"""

from birdbone.evaluate.safety.refusal import Stance, classify_reply
from birdbone.evaluate.safety.requests import HARMFUL_FILES, HarmfulSet, Request, read_harmful, read_harmless
from birdbone.evaluate.safety.toxicity import Toxicity, rate_toxicity

__all__ = [
    "HARMFUL_FILES",
    "HarmfulSet",
    "Request",
    "Stance",
    "Toxicity",
    "classify_reply",
    "rate_toxicity",
    "read_harmful",
    "read_harmless",
]
