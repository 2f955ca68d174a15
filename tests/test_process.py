"""What is common to all processes of ours."""

import subprocess
import sys

from relaymd.process import alive, is_zombie

RENAMED = (
    "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'\\xff\\xfe) Z 1');"
    "print('renamed', flush=True); sys.stdin.read()"
)


def test_a_process_may_call_itself_what_it_likes() -> None:
    """Its name, any 15 bytes, stands in what the kernel tells of it."""
    command = [sys.executable, "-c", RENAMED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"renamed\n"
        assert alive(process.pid)
        assert not is_zombie(process.pid)
        process.kill()
