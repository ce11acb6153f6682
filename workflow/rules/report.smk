# Inputs: every table and figure. Output: results/report.zip. Steps: let Snakemake build its report from the
# records of the finished jobs, from inside the running workflow.


rule report:
    """Build the browsable report."""
    input:
        PLAN.shown(),
    output:
        "results/report.zip",
    log:
        "logs/report.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    params:
        config=json.dumps(config, sort_keys=True),
        code=code("report"),
    shell:
        "exec python -m gadc report --config {params.config:q} --output {output} > {log} 2>&1"
