"""The orchestrator: supervised actors around one ledger."""
