"""Other schedulers on the same job: `/bin/true` in a process of its own, two workers.

    /path/to/their/python -m benchmarks.peers hyperqueue|dask|parsl COUNT

Prints jobs a second. Runs in an environment of its own (`make bench-peers`), so it imports
nothing of ours.
"""

import sys
import tempfile
import time
from importlib import import_module
from typing import Any

WORKERS = 2


def true(_: int) -> int:
    import subprocess  # Parsl sends the function's text alone

    return subprocess.run(["/bin/true"], check=True).returncode


def dask(count: int) -> float:
    distributed: Any = import_module("dask.distributed")
    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=WORKERS, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.gather(client.map(true, range(-10, 0), pure=False))
        begin = time.perf_counter()
        client.gather(client.map(true, range(count), pure=False))
        return count / (time.perf_counter() - begin)


def parsl(count: int) -> float:
    library: Any = import_module("parsl")
    executors: Any = import_module("parsl.executors")
    config: Any = import_module("parsl.config")
    with tempfile.TemporaryDirectory() as folder:
        executor = executors.HighThroughputExecutor(
            label="two", max_workers_per_node=WORKERS, address="127.0.0.1"
        )
        settings = config.Config(executors=[executor], run_dir=folder, usage_tracking=0)
        with library.load(settings):
            app = library.python_app(true)
            begin = 0.0
            for number in (10, count):
                begin = time.perf_counter()
                for one in [app(each) for each in range(number)]:
                    one.result()
            return count / (time.perf_counter() - begin)


def hyperqueue(count: int) -> float:
    clusters: Any = import_module("hyperqueue.cluster")
    jobs: Any = import_module("hyperqueue.job")
    with tempfile.TemporaryDirectory() as folder, clusters.LocalCluster(folder) as cluster:
        for _ in range(WORKERS):
            cluster.start_worker(clusters.WorkerConfig(cores=1))
        client = cluster.client()
        begin = 0.0
        for number in (10, count):
            job = jobs.Job(default_workdir=folder)
            for _ in range(number):
                job.program(["/bin/true"], stdout=None, stderr=None)
            begin = time.perf_counter()
            client.wait_for_jobs([client.submit(job)])
        return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    measure = {"dask": dask, "parsl": parsl, "hyperqueue": hyperqueue}[sys.argv[1]]
    print(measure(int(sys.argv[2])))
