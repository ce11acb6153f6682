"""Networks and processes that draw images: transformers, diffusion, flow, samplers, autoencoders."""
