"""A run folder: files that are whole or not there, configuration and identity, results, checkpoints."""
