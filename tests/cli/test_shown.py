"""Tables at a terminal of a person's width."""

import os
import pty
import re
import subprocess
import sys

SCRIPT = """
from relaymd.cli.shown import table
columns = ("job", "title", "state", "done", "left", "saved", "where", "age")
row = ["j-gq92sw4zs8qw", "Villin headpiece, 300 K, replica 12", "completed", "100 %", "3 h",
       "10 min", "no worker fits: local: it has 0 of 2 GPUs", "24 min"]
table(columns, [row], elastic=("title", "where"))
columns = ("worker", "state", "where", "gpus", "busy", "jobs")
row = ["w-7k2mqfx9hjb4", "quarantined", "north gpu-17", "4 × NVIDIA A100-SXM4-40GB",
       "cpu 12 %, gpu 97 %", "2 of 4: j-8f3hkq2m7vxw j-9f3hkq2m7vx"]
table(columns, [row], elastic=("where", "gpus", "busy", "jobs"))
"""


def at_a_terminal(columns: int) -> list[str]:
    """What the table looks like there, line by line."""
    master, slave = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    command = [sys.executable, "-c", SCRIPT]
    subprocess.run(command, stdout=slave, stderr=slave, env=environ, check=True)
    os.close(slave)
    said = b""
    try:
        while piece := os.read(master, 65536):
            said += piece
    except OSError:
        pass  # the other end of a terminal is closed that way
    finally:
        os.close(master)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()


def test_where_there_is_room_a_row_is_a_line() -> None:
    (row,) = [line for line in at_a_terminal(140) if "j-gq92sw4zs8qw" in line]
    assert "Villin headpiece, 300 K, replica 12" in row
    assert row.rstrip().endswith("24 min")


def test_at_eighty_columns_only_words_give_way_and_no_figure_is_cut() -> None:
    lines = at_a_terminal(80)
    (first,) = [line for line in lines if "j-gq92sw4zs8qw" in line]
    for whole in ("completed", "100 %", "10 min", "24 min"):
        assert whole in first
    assert any("j-8f3hkq2m7vxw" in line for line in lines), "no identifier is cut"
    assert max(map(len, lines)) <= 80
