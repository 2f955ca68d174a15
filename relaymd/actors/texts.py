"""How much is kept of what somebody tells in their own words: every fact must fit the stream."""

LONGEST = 8192
"""Characters of a reason, a note, the evidence of a failure."""

LONGEST_NAME = 200
"""Characters of who wants something."""

LONGEST_KEY = 1024
"""Characters of a key in a store; S3 allows as many bytes."""


def bounded(text: str) -> str:
    return text[:LONGEST]


def short(text: str) -> str:
    return text[:LONGEST_NAME]
