"""The operator's command, one file per group. Imported lazily: `relaymd --help` stays quick."""
