"""A process of its own that searches a regular expression in texts, so that one without an end can be ended.

Reads one JSON object on standard input, and writes a line for each text: the groups of the match, or null. It imports
nothing but the standard library, and the kernel ends it when its processor time is spent.
"""

import json
import re
import resource
import sys

MAX_MEMORY_BYTES = 2**30


def main() -> None:
    """Answer one request."""
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu_seconds"], asked["cpu_seconds"]))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    pattern = re.compile(asked["pattern"])
    for text in asked["texts"]:
        found = pattern.search(text)
        if asked["take"] == "last":
            for later in pattern.finditer(text):
                found = later
        sys.stdout.write(json.dumps(None if found is None else [found[0], *found.groups()]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
