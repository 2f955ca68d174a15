"""Imported by every Python that has this folder on its path: `time.sleep` beside libfaketime.

libfaketime 0.9.10 spoils the call that Python 3.11 sleeps with (EINVAL, whatever is asked for).
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    select.select((), (), (), float(seconds))


time.sleep = sleep
