"""From real images to a subset: GADC and the baselines, and what is measured of a subset."""
