"""Learned models that agents and data methods use: densities, generators, dynamics."""
