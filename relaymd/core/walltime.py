"""How long an allocation may live, as SLURM writes it.

minutes    minutes:seconds    hours:minutes:seconds
days-hours    days-hours:minutes    days-hours:minutes:seconds
"""

LONGEST = 366 * 86400.0
"""Seconds; more is a slip of the pen."""


def seconds_in(text: str) -> float:
    """Seconds of a wall time; `08` is eight. Raises ValueError, one sentence."""
    days, dash, rest = text.strip().rpartition("-")
    parts = rest.split(":")
    if len(parts) > 3 or not all(_is_number(part) for part in (*parts, *([days] if dash else []))):
        raise ValueError(f"{text!r} is not a wall time such as 4:00:00 or 1-12:00:00")
    first = [int(part) for part in parts]
    if dash:
        hours, minutes, seconds = (*first, 0, 0)[:3]
    elif len(first) == 3:
        hours, minutes, seconds = first
    else:
        hours, (minutes, seconds) = 0, (*first, 0)[:2]
    if any(number > 59 for number in first[1:]) or (dash and hours > 23):
        raise ValueError(f"{text!r} has a number that is too large for its place")
    total = float(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)
    if not 0 < total <= LONGEST:
        raise ValueError(f"{text!r} must be more than nothing and at most a year")
    return total


def spelled(seconds: float) -> str:
    """`days-hours:minutes:seconds`, whole seconds, as `sbatch --time` reads it."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02}:{minute:02}:{second:02}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9
