"""RelayMD: long simulations, handed from worker to worker and finished exactly."""
