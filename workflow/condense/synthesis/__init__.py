"""Made images -> subset: guided, finetuned or optimised diffusion chains."""
