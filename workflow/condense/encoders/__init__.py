"""From pixels to features to class probabilities: networks and what they give."""
