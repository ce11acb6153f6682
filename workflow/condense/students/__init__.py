"""What a small set is worth to a classifier: networks, recipes, soft labels, training, examination."""
