"""The first door."""

def main() -> None:
    """Placeholder."""
