"""Commits and what can be asked of them: the log, who last changed a tensor, and which version broke it."""
