"""How activations are weighed when statistics are taken of them."""

FIRST_TOKEN_SHARE = 0.1
"""Weight of a window's first token, the attention sink, beside that of all its other tokens."""
