# Inputs: tables and figures. Outputs: results/report.zip, results/report_{budget}.zip. Steps: let Snakemake build its
# report from the records of the finished jobs, from inside the running workflow.


rule report:
    """Build the browsable report of the study, or of one comparison."""
    input:
        lambda wildcards: PLAN.shown(wildcards.which.removeprefix("_")),
    output:
        "results/report{which}.zip",
    log:
        "logs/report/results{which}.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    params:
        config=json.dumps(config, sort_keys=True),
        code=code("report"),
    shell:
        "exec python -m gadc report {input} --config {params.config:q} --output {output} > {log} 2>&1"
