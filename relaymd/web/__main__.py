"""The bridge's process: `python -m relaymd.web`, started by `relaymd up` or on its own."""

from relaymd.web.serve import main

if __name__ == "__main__":
    main()
