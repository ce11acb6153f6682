"""What knows no image: errors, random streams, whole files, progress, digests of code."""
