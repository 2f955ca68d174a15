"""Where workers come from: one module a provider, all behind one protocol."""
