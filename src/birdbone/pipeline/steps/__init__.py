"""One file a kind of step; each has one function `run(context, settings) -> StepResult`.

A step checks artefacts out of the vault, calls a craft room, puts what comes back into the vault, loads it again and
measures it there. The modules load torch, so only `catalogue.py` imports them.
"""
