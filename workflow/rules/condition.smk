# Inputs: a subset and the images. Outputs: results/latents/{space}/{resolution}/{method}/{budget}.h5.
# Steps: crop and encode each chosen image and its mirror image once.


rule condition:
    """Encode a subset's images as a generator is to see them."""
    input:
        subset="results/subsets/{method}/{budget}.csv",
        index="results/index.csv",
    output:
        "results/latents/{space}/{resolution}/{method}/{budget}.h5",
    log:
        "logs/condition/{space}/{resolution}/{method}/{budget}.log",
    benchmark:
        "results/benchmarks/condition/{space}/{resolution}/{method}/{budget}.tsv"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        images=PLAN.options(PLAN.study.images),
        autoencoder=lambda wildcards: PLAN.latents(wildcards.space),
        code=code("condition"),
    shell:
        "exec python -m gadc --threads 1 condition {params.images} {params.autoencoder}"
        " --subset {input.subset} --index {input.index} --resolution {wildcards.resolution}"
        " --output {output} > {log} 2>&1"
