"""`python -m relaymd.cli`: the command where its script is not on PATH."""

from relaymd.cli.main import run

if __name__ == "__main__":
    run()
