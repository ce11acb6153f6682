"""From samples to numbers: FID, inception score, precision, recall and their kin."""
