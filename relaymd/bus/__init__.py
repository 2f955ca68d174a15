"""Typed messages over NATS: what may be said (contract), and how it travels (client, server)."""
