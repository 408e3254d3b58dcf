"""What runs inside the sandbox. Only Python's standard library: the process that loads it has nothing else."""
