"""`python -m relaymd.worker`."""

from relaymd.worker.main import run

if __name__ == "__main__":
    run()
