"""Looking at something that has a rhythm of its own, without falling into step with it."""

GOLDEN = 0.6180339887498949
"""Multiples of it, less their whole parts, lie as evenly between 0 and 1 as any numbers can."""


def out_of_step(mean: float, number: int) -> float:
    """Seconds to wait after the look of that number: from half the mean to one and a half.

    An engine that writes at a steady pace would be met at the same point of it by every look,
    if those had one too: always while it writes, where it is met so once.
    """
    return mean * (0.5 + number * GOLDEN % 1)
