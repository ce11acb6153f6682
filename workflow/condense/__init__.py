"""Image datasets condensed with and for diffusion models: every formula and loop of the pipeline."""
