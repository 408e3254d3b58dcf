"""Exports of records for other tools and for readers: only what was measured, each figure with its evidence.

`lm_eval` gives the results file of EleutherAI's lm-eval, `tables` CSV and Markdown, `card` a model card for the Hugging
Face hub.
"""
