"""A Slurm of shell scripts and text files: says what a test wrote down, and can hang or fail."""

import os
import stat
from pathlib import Path

from relaymd.actors.providers.shell import LocalShell

PROGRAM = """#!/bin/sh
folder={folder}
echo "$@" >>"$folder/{name}.asked"
cat >"$folder/{name}.stdin"
if [ -e "$folder/{name}.hangs" ]; then sleep 60; fi
if [ -e "$folder/{name}.script" ]; then . "$folder/{name}.script"; fi
cat "$folder/{name}.err" >&2 2>/dev/null
cat "$folder/{name}.out" 2>/dev/null
exit "$(cat "$folder/{name}.code" 2>/dev/null || echo 0)"
"""


class PaperSlurm:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for name in ("sbatch", "squeue", "sacct", "scancel"):
            program = programs / name
            program.write_text(PROGRAM.format(folder=folder, name=name))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(self.home)}

    @property
    def shell(self) -> LocalShell:
        return LocalShell(self.environment)

    def says(self, name: str, out: str = "", *, err: str = "", code: int = 0) -> None:
        (self.folder / f"{name}.out").write_text(out)
        (self.folder / f"{name}.err").write_text(err)
        (self.folder / f"{name}.code").write_text(str(code))

    def does(self, name: str, script: str) -> None:
        """Shell lines of the command, before it says anything; `$@` is what it was asked."""
        (self.folder / f"{name}.script").write_text(script)

    def hangs(self, name: str) -> None:
        (self.folder / f"{name}.hangs").touch()

    def asked(self, name: str) -> list[str]:
        file = self.folder / f"{name}.asked"
        return file.read_text().splitlines() if file.exists() else []

    def given(self, name: str) -> str:
        """What came on the standard input, the last time."""
        return (self.folder / f"{name}.stdin").read_text()
