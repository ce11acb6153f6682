"""From a subset to a generator: latents, captions, feature maps, and the training itself."""
