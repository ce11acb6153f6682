# Inputs: a subset and the images. Outputs: results/latents/{space}/{resolution}/{method}/{budget}.h5, and for
# recipes results/captions/{text_encoder}.h5 and results/patches/{encoder}/{resolution}/{method}/{budget}.h5.
# Steps: crop and encode each chosen image and its mirror image once; encode each class's caption.


rule latents:
    """Encode a subset's images as a generator is to see them."""
    input:
        subset="results/subsets/{method}/{budget}.csv",
        index="results/index.csv",
    output:
        "results/latents/{space}/{resolution}/{method}/{budget}.h5",
    log:
        "logs/latents/{space}/{resolution}/{method}/{budget}.log",
    benchmark:
        "results/benchmarks/latents/{space}/{resolution}/{method}/{budget}.tsv"
    priority: 1  # the longest chain of jobs: begin it early
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.latents(wildcards.space),
        code=code("training.latents.latents", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 latents {params.options}"
        " --subset {input.subset} --index {input.index} --resolution {wildcards.resolution}"
        " --output {output} > {log} 2>&1"


rule captions:
    """Encode the caption of each class."""
    input:
        "results/index.csv",
    output:
        "results/captions/{text_encoder}.h5",
    log:
        "logs/captions/{text_encoder}.log",
    benchmark:
        "results/benchmarks/captions/{text_encoder}.tsv"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.captions(wildcards.text_encoder),
        code=code("training.captions.captions"),
    shell:
        "exec python -m condense --threads 1 captions {params.options}"
        " --index {input} --output {output} > {log} 2>&1"


rule patches:
    """Compute a subset's feature maps, to which a generator is aligned."""
    input:
        subset="results/subsets/{method}/{budget}.csv",
        encoder="results/encoders/{encoder}.safetensors",
    output:
        "results/patches/{encoder}/{resolution}/{method}/{budget}.h5",
    log:
        "logs/patches/{encoder}/{resolution}/{method}/{budget}.log",
    benchmark:
        "results/benchmarks/patches/{encoder}/{resolution}/{method}/{budget}.tsv"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        options=PLAN.options.patches(),
        code=code("training.patches.patches", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 patches {params.options}"
        " --subset {input.subset} --encoder {input.encoder}"
        " --resolution {wildcards.resolution} --output {output} > {log} 2>&1"
