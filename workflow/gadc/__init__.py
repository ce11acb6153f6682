"""Geometry-aware dataset condensation for diffusion models: every formula and loop of the pipeline."""
