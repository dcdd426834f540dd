"""Many jobs on many machines: Ray, and whatever launcher Hydra has a plugin for."""
