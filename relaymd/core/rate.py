"""How fast a simulation goes, and how long it will take at that."""

import msgspec

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, Monotonic


class Rate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Per second. None: the engine does not say so much of its progress."""

    fraction: float | None = None
    """Of the whole job."""

    steps: float | None = None


class Point(msgspec.Struct, frozen=True):
    at: Monotonic
    progress: Progress


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of one segment as it was heard: its first two changes and its latest."""

    epoch: Epoch
    points: tuple[Point, ...] = ()


def heard(track: Track | None, epoch: Epoch, progress: Progress, at: Monotonic) -> Track:
    """The track with what was just heard. Hearing the same again is no news."""
    if track is None or track.epoch != epoch:
        return Track(epoch=epoch, points=(Point(at, progress),))
    if track.points[-1].progress == progress:
        return track
    return Track(epoch=epoch, points=(*track.points[:2], Point(at, progress)))


def rate_of(track: Track) -> Rate | None:
    """The mean since the first change: what was before it, such as compiling, is no computing."""
    if len(track.points) < 2:
        return None
    begin, end = track.points[-2 if len(track.points) > 2 else 0], track.points[-1]
    return rate(begin.progress, end.progress, end.at - begin.at)


def rate(begin: Progress, end: Progress, seconds: float) -> Rate | None:
    """Between two looks. None where nothing moved on, or nobody said how far it was."""
    if seconds <= 0:
        return None
    found = Rate(
        fraction=_speed(begin.fraction, end.fraction, seconds),
        steps=_speed(begin.step, end.step, seconds),
    )
    return found if found != Rate() else None


def seconds_left(progress: Progress | None, rate: Rate | None) -> float | None:
    """Until the job is done, if it goes on like this; None where nobody can tell."""
    if progress is None or rate is None:
        return None
    if progress.step is not None and progress.total_steps is not None and rate.steps:
        return max(progress.total_steps - progress.step, 0) / rate.steps
    if progress.fraction is not None and rate.fraction:
        return max(1.0 - progress.fraction, 0.0) / rate.fraction
    return None


def _speed(begin: float | None, end: float | None, seconds: float) -> float | None:
    if begin is None or end is None or end <= begin:
        return None
    return (end - begin) / seconds
