"""Running code that a model wrote, so that it can be judged and can do no harm. Linux only.

Owns: the walls around a program (namespaces, a root of its own, Landlock, a system call filter, limits), the verdict
of a test that the program cannot reach, and a pool of such runs. Needs: `core`; inside the walls nothing but Python.

```python
result = check_humaneval(prompt, completion, test, entry_point)
result.has_passed, result.ending, result.exception, result.layers
```

What a pass means. `check_humaneval` and `check_mbpp` run the assertions in another process than the code: it gets the
arguments and gives back plain values, so it can neither read the expected answers, nor answer with an object that
equals everything, nor write the verdict. `run_python` has no test: its pass says only that the program itself got to
its end, and a program that means to can say so falsely.

What remains possible:

- A program written to return the expected answers passes, as it does under any test by examples: it sees the arguments.
- A hole in the kernel opens every wall that the kernel builds.
- It may burn its share: `num_processes` times `memory_bytes`, the scratch folder, and that many times `cpu_seconds`.
- It sees the clock, the kernel's version and the size of the machine; without a root of its own also which paths exist,
  though not what is in them.
- Whether a function changes its arguments is not seen by the test, which passes copies.
"""

from birdbone.evaluate.sandbox.limits import Limits
from birdbone.evaluate.sandbox.pool import run_many
from birdbone.evaluate.sandbox.programs import Program, humaneval_program, mbpp_program
from birdbone.evaluate.sandbox.results import Ending, Layer, Layers, SandboxResult
from birdbone.evaluate.sandbox.running import check_humaneval, check_mbpp, describe_layers, run_program, run_python

__all__ = [
    "Ending",
    "Layer",
    "Layers",
    "Limits",
    "Program",
    "SandboxResult",
    "check_humaneval",
    "check_mbpp",
    "describe_layers",
    "humaneval_program",
    "mbpp_program",
    "run_many",
    "run_program",
    "run_python",
]
