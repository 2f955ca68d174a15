"""The orchestrator's process: `python -m relaymd.actors`, started by `relaymd up` or on its own."""

from relaymd.actors.serve import main

if __name__ == "__main__":
    main()
