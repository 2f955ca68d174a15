"""The bridge: HTTP for browsers and scripts. It knows no more than what the bus tells it."""
