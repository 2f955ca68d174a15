"""Object storage: bundles, chunks, manifests. Simulation data moves here and nowhere else."""
