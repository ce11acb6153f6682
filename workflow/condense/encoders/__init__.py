"""From pixels to features to class probabilities: networks that look at images."""
