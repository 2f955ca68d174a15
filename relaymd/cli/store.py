"""The object store as the running stack uses it."""
