"""The process on the compute node: it knows nothing but the leases it holds."""
