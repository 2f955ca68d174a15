"""A whole Slurm on this machine: four nodes with two GPUs each in name, accounting, preemption.

Everything listens on loopback on free ports, lives in one temporary folder, and ends with the
process that started it. Needs Debian's packages and root; installs nothing itself.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from relaymd.process import die_with_parent

PACKAGES = "slurm-wlm slurmdbd munge mariadb-server"
PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch")
NODES = ("n1", "n2", "n3", "n4")
GPUS = 2
KILL_WAIT = 5
"""Seconds from SIGTERM to SIGKILL; a site has 30."""

MIN_JOB_AGE = 10
"""Seconds for which `squeue` remembers what has ended; then only accounting does."""

READY_WITHIN = 60.0


def missing() -> str:
    """Why no Slurm can be started here; empty where one can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if absent:
        return f"there is no {', '.join(absent)} here; install Debian's {PACKAGES}"
    return "" if os.geteuid() == 0 else "the Slurm of the tests must be started by root"


PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"


class SlurmCluster:
    """Its daemons, and what an administrator does to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: Mapping[str, str] = {
            "PATH": PATH,
            "HOME": os.environ.get("HOME", "/root"),
            "LANG": "C.UTF-8",
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        self._ports = free_ports(7)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        for name in ("dev", "state", "log", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        write_configuration(self.folder, self._ports)
        self._start_munge()
        self._start_database()
        self._launch("slurmdbd", "slurmdbd", "-D")
        self._until_port(self._ports[1])
        self.run("sacctmgr", "-i", "add", "cluster", "test")
        self.run("sacctmgr", "-i", "add", "qos", "two", "MaxSubmitJobsPerUser=2")
        self.run("sacctmgr", "-i", "modify", "user", "root", "set", "qos+=two")
        self.start_controller("-c")
        for node in NODES:
            self._launch(node, "slurmd", "-D", "-N", node)
        self.until(lambda: self.states() == dict.fromkeys(NODES, "idle"), "all nodes are idle")

    def stop(self) -> None:
        """End everything, jobs first, and leave no process behind."""
        try:
            if "slurmctld" not in self._running or self._running["slurmctld"].poll() is not None:
                self._running.pop("slurmctld", None)
                self.start_controller()
            self.cancel_all()
        finally:
            for name in reversed([*self._running]):
                self._end(name)
            for pid in processes_of(self.folder):
                os.kill(pid, signal.SIGKILL)

    def cancel_all(self) -> None:
        self.run("scancel", "--signal=KILL", "--full", "--state=RUNNING", check=False)
        for state in ("PENDING", "RUNNING", "SUSPENDED"):
            self.run("scancel", f"--state={state}", check=False)
        self.until(lambda: not self.queue(), "the queue is empty", within=30)

    def start_controller(self, *options: str) -> None:
        if "slurmctld" not in self._running:
            self._launch("slurmctld", "slurmctld", "-D", *options)
        self.until(lambda: not self.run("scontrol", "ping", check=False)[0], "slurmctld answers")

    def stop_controller(self) -> None:
        self._end("slurmctld")

    def start_node(self, node: str) -> None:
        self._launch(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """As when its power fails: the daemon and all jobs on it are gone at once."""
        self._end(node, signal.SIGKILL)
        jobs = processes_of(self.folder, f"SLURMD_NODENAME={node}")
        there = [*sorted(keepers(jobs)), *jobs]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # nobody there may tell of another's death
            for pid in there:
                os.kill(pid, number)

    # -- what an administrator and a user type ---------------------------------------------------

    def run(
        self, *argv: str, check: bool = True, stdin: str = "", within: float = 30
    ) -> tuple[int, str]:
        """One command; its exit code and what it printed, errors included."""
        done = subprocess.run(
            argv,
            env=dict(self.environment),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}\n{self.logs()}"
        return done.returncode, done.stdout

    def states(self) -> dict[str, str]:
        lines = self.run("sinfo", "-h", "-N", "-p", "work", "-o", "%N %t", check=False)[1]
        words = [line.split() for line in lines.splitlines()]
        return {pair[0]: pair[1] for pair in words if len(pair) == 2}

    def queue(self) -> list[str]:
        """`name state` of each job that has not ended."""
        return self.run("squeue", "-h", "-o", "%j %T", within=60)[1].splitlines()

    def until(self, what: Callable[[], bool], why: str, *, within: float = READY_WITHIN) -> None:
        deadline = time.monotonic() + within
        while not what():
            dead = [name for name, one in self._running.items() if one.poll() is not None]
            assert not dead, f"{dead} ended: {why}\n{self.logs()}"
            assert time.monotonic() < deadline, f"not within {within} s: {why}\n{self.logs()}"
            time.sleep(0.05)

    def logs(self) -> str:
        """The last lines of each daemon."""
        files = sorted((self.folder / "log").glob("*"))
        return "\n".join(
            f"--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-15:])
            for file in files
        )

    def accounted(self, *names: str) -> list[str]:
        """The state of each job of these names, as accounting has it."""
        options = ("-n", "-P", "-X", "-D", "-S", "now-1hours", "-o", "State")
        return self.run("sacct", *options, f"--name={','.join(names)}")[1].splitlines()

    def number_of(self, name: str) -> str:
        return self.run("squeue", "-h", "-o", "%i", "--name", name)[1].strip()

    def take_all_nodes(self, *, seconds: int, count: int = len(NODES)) -> None:
        """A job named `urgent`, for whole nodes, before which others have to give way."""
        self.run(
            "sbatch", "--job-name=urgent", "--partition=urgent", f"--nodes={count}",
            "--exclusive", "--wrap", f"sleep {seconds}", "--output=/dev/null",
        )  # fmt: skip

    def bring_back(self, node: str) -> None:
        if node not in self._running:
            self.start_node(node)
        self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        self.until(lambda: self.states()[node] == "idle", f"{node} is back")

    # -- the parts -----------------------------------------------------------------------------

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        options = [
            f"--socket={self.folder}/munge.socket",
            f"--key-file={key}",
            f"--pid-file={self.folder}/munge.pid",
            f"--log-file={self.folder}/log/munge",
            f"--seed-file={self.folder}/munge.seed",
        ]
        self._launch("munge", "munged", "--foreground", "--force", *options)
        self.until(lambda: (self.folder / "munge.socket").exists(), "munge listens")

    def _start_database(self) -> None:
        data, socket_path = self.folder / "mysql", self.folder / "mysql.socket"
        common = ["--no-defaults", f"--datadir={data}"]
        user = f"--user={pwd.getpwuid(os.geteuid()).pw_name}"
        self.run(
            "mariadb-install-db", *common, user, "--auth-root-authentication-method=normal",
            "--skip-test-db", "--skip-name-resolve", within=120,
        )  # fmt: skip
        self._launch(
            "mariadb", "mariadbd", *common, user, f"--socket={socket_path}",
            f"--port={self._ports[0]}", "--bind-address=127.0.0.1", f"--pid-file={data}/pid",
            "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0",
            "--skip-name-resolve", "--innodb-log-file-size=16M",
        )  # fmt: skip
        self._until_port(self._ports[0])
        statements = (
            "CREATE DATABASE slurm_acct_db; CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';"
            " GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';"
        )
        self.run(
            "mariadb", "--no-defaults", "-u", "root", f"--socket={socket_path}", "-e", statements
        )

    def _launch(self, name: str, *argv: str) -> None:
        program = shutil.which(argv[0], path=PATH)
        assert program is not None
        with (self.folder / "log" / name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [program, *argv[1:]],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
            )

    def _end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _until_port(self, port: int) -> None:
        def open_() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
            return True

        self.until(open_, f"something listens on {port}")


def write_configuration(folder: Path, ports: Sequence[int]) -> None:
    """slurm.conf, slurmdbd.conf, gres.conf and the files that play GPUs."""
    database, dbd, controller, *nodes = ports
    host = socket.gethostname()
    for node in NODES:
        for gpu in range(GPUS):
            (folder / "dev" / f"{node}-gpu{gpu}").touch()
    dbd_file = folder / "slurmdbd.conf"
    dbd_file.write_text(
        f"""AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={dbd}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
    )
    dbd_file.chmod(0o600)
    lines = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 "
        f"RealMemory=4000 Gres=gpu:a100:{GPUS}"
        for node, port in zip(NODES, nodes, strict=True)
    )
    (folder / "slurm.conf").write_text(
        f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
MpiDefault=none
SlurmdTimeout=10
KillWait={KILL_WAIT}
MinJobAge={MIN_JOB_AGE}
OverTimeLimit=0
SchedulerParameters=bf_interval=1,sched_interval=5,sched_min_interval=200000,batch_sched_delay=0,bf_window=1440
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
EnforcePartLimits=ALL
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobCompType=jobcomp/none
SlurmctldDebug=info
SlurmdDebug=info
{lines}
PartitionName=work Nodes=ALL Default=YES MaxTime=1:00:00 PriorityTier=1 PreemptMode=OFF
PartitionName=requeued Nodes=ALL MaxTime=1:00:00 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=cancelled Nodes=ALL MaxTime=1:00:00 PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=ALL MaxTime=1:00:00 PriorityTier=9 PreemptMode=OFF
"""
    )
    (folder / "gres.conf").write_text(
        "".join(
            f"NodeName={node} Name=gpu Type=a100 File={folder}/dev/{node}-gpu[0-{GPUS - 1}]\n"
            for node in NODES
        )
    )


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def keepers(jobs: Iterable[int]) -> set[int]:
    """The `slurmstepd` above each of the processes, which carry no mark of their node."""
    found: set[int] = set()
    for pid in jobs:
        while pid > 1:
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                break  # it has just ended
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            if status["Name"] == "slurmstepd":
                found.add(pid)
            pid = int(status["PPid"])
    return found - set(jobs)


def processes_of(folder: Path, *marks: str) -> list[int]:
    """Processes whose environment names this cluster, and all of these."""
    wanted = [f"SLURM_CONF={folder}/slurm.conf", *marks]
    found: list[int] = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if all(mark.encode() in variables for mark in wanted):
            found.append(int(process.name))
    return found


@contextmanager
def running() -> Generator[SlurmCluster]:
    """A cluster that leaves nothing behind, not even its folder."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short, for sockets have short names
    cluster = SlurmCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
