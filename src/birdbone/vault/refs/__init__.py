"""Names that move: branches, tags and notes, who may move them, and the audit of every move."""
