"""The pure core: what a run is, phase by phase, as functions of arrays. It imports nothing above it."""
