# Inputs: tables, histories, diagnostics, samples and scores of runs. Outputs: results/figures/. Steps: draw what people
# look at first, in one style.


rule plot_losses:
    """Draw the loss curves of a comparison's trainings."""
    input:
        lambda wildcards: PLAN.inputs.plot_losses(wildcards.budget),
    output:
        png=report(
            "results/figures/losses_{budget}.png",
            caption="../report/losses.rst",
            category="Training",
            labels={"figure": "loss", "budget": "{budget}"},
        ),
        svg="results/figures/losses_{budget}.svg",
    log:
        "logs/plot_losses/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.grids.plot_losses"),
    shell:
        "exec python -m condense plot-losses {input}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_samples:
    """Draw a grid of a run's images, a row per class."""
    input:
        samples=gather.images(
            "results/samples/{{generator}}/{{method}}/{{budget}}/seed{{seed}}/{scatteritem}.npz"
        ),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        grid=report(
            "results/figures/samples/{generator}/{method}/{budget}/seed{seed}.png",
            caption="../report/samples.rst",
            category="Samples",
            subcategory="{generator}",
            labels={"method": "{method}", "budget": "{budget}", "seed": "{seed}"},
        ),
        few="results/figures/samples/{generator}/{method}/{budget}/seed{seed}.npz",
    log:
        "logs/plot_samples/{generator}/{method}/{budget}/seed{seed}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.grids.plot_samples"),
    shell:
        "exec python -m condense plot-samples {input.samples} --output {output.grid} --few {output.few} > {log} 2>&1"


rule plot_pairs:
    """Draw the samples of a run that lie nearest to its training images, beside these."""
    input:
        samples=gather.images(
            "results/samples/{{generator}}/{{method}}/{{budget}}/seed{{seed}}/{scatteritem}.npz"
        ),
        pairs="results/scores/{generator}/{method}/{budget}/seed{seed}.pairs.csv",
        subset="results/subsets/{method}/{budget}.csv",
    output:
        report(
            "results/figures/pairs/{generator}/{method}/{budget}/seed{seed}.png",
            caption="../report/pairs.rst",
            category="Memorisation",
            subcategory="{generator}",
            labels={"method": "{method}", "budget": "{budget}", "seed": "{seed}"},
        ),
    log:
        "logs/plot_pairs/{generator}/{method}/{budget}/seed{seed}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=PLAN.options.plot_pairs(),
        code=code("reporting.pairs.plot_pairs", *PLAN.unused()),
    shell:
        "exec python -m condense plot-pairs {input.samples} {params.options} --pairs {input.pairs}"
        " --subset {input.subset} --output {output} > {log} 2>&1"


rule plot_methods:
    """Draw images of a comparison's methods side by side, from the same noise and labels."""
    input:
        lambda wildcards: PLAN.inputs.plot_methods(**wildcards),
    output:
        png=report(
            "results/figures/methods/{generator}/{budget}.png",
            caption="../report/methods.rst",
            category="Samples",
            subcategory="{generator}",
            labels={"method": "all", "budget": "{budget}", "seed": "first"},
        ),
        svg="results/figures/methods/{generator}/{budget}.svg",
    log:
        "logs/plot_methods/{generator}/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.grids.plot_methods"),
    shell:
        "exec python -m condense plot-methods {input}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_table:
    """Draw a table's first metric as curves."""
    input:
        "results/tables/{table}.csv",
    output:
        png=report(
            "results/figures/tables/{table}.png",
            caption="../report/curves.rst",
            category="Figures",
            labels={"figure": "{table}", "budget": ""},
        ),
        svg="results/figures/tables/{table}.svg",
    log:
        "logs/plot_table/{table}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.plot_table(wildcards.table),
        code=code("reporting.curves.plot_table"),
    shell:
        "exec python -m condense plot-table {input} {params.options}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_grid:
    """Draw a table that has a control as one picture of methods and uses."""
    input:
        "results/tables/{table}.csv",
    output:
        png=report(
            "results/figures/grids/{table}.png",
            caption="../report/grid.rst",
            category="All uses: the grid",
            labels={"page": "{table}: picture"},
        ),
        svg="results/figures/grids/{table}.svg",
    log:
        "logs/plot_grid/{table}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.grid_picture.plot_grid"),
    shell:
        "exec python -m condense plot-grid {input}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_objective:
    """Draw the objective along greedy construction and exchange."""
    input:
        lambda wildcards: PLAN.inputs.plot_objective(wildcards.budget),
    output:
        png=report(
            "results/figures/objective_{budget}.png",
            caption="../report/objective.rst",
            category="Figures",
            labels={"figure": "objective", "budget": "{budget}"},
        ),
        svg="results/figures/objective_{budget}.svg",
    log:
        "logs/plot_objective/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.curves.plot_objective"),
    shell:
        "exec python -m condense plot-objective {input}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_distances:
    """Draw how far samples lie from their nearest training image."""
    input:
        lambda wildcards: PLAN.inputs.plot_distances(wildcards.budget),
    output:
        png=report(
            "results/figures/distances_{budget}.png",
            caption="../report/distances.rst",
            category="Memorisation",
            labels={"method": "all", "budget": "{budget}", "seed": "first"},
        ),
        svg="results/figures/distances_{budget}.svg",
    log:
        "logs/plot_distances/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.curves.plot_distances"),
    shell:
        "exec python -m condense plot-distances {input}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_occupancy:
    """Draw the share of cells that sets occupy by their size."""
    input:
        lambda wildcards: PLAN.inputs.plot_occupancy(),
    output:
        png=report(
            "results/figures/occupancy.png",
            caption="../report/occupancy.rst",
            category="Subsets",
            labels={"figure": "occupied cells"},
        ),
        svg="results/figures/occupancy.svg",
    log:
        "logs/plot_occupancy.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.cells.plot_occupancy"),
    shell:
        "exec python -m condense plot-occupancy {input}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_learning:
    """Draw loss and accuracy of a comparison's students over epochs."""
    input:
        lambda wildcards: PLAN.inputs.plot_learning(wildcards.budget),
    output:
        png=report(
            "results/figures/learning_{budget}.png",
            caption="../report/learning.rst",
            category="Training",
            labels={"figure": "accuracy", "budget": "{budget}"},
        ),
        svg="results/figures/learning_{budget}.svg",
    log:
        "logs/plot_learning/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.classifiers.plot_learning"),
    shell:
        "exec python -m condense plot-learning {input}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"


rule plot_confusion:
    """Draw which class a student takes for which."""
    input:
        confusion="results/accuracies/{student}/{method}/{budget}/seed{seed}.confusion.csv",
        subset="results/subsets/{method}/{budget}.csv",
    output:
        png=report(
            "results/figures/confusion/{student}/{method}/{budget}/seed{seed}.png",
            caption="../report/confusion.rst",
            category="Confusion",
            subcategory="{student}",
            labels={"method": "{method}", "budget": "{budget}", "seed": "{seed}"},
        ),
        svg="results/figures/confusion/{student}/{method}/{budget}/seed{seed}.svg",
    log:
        "logs/plot_confusion/{student}/{method}/{budget}/seed{seed}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.classifiers.plot_confusion"),
    shell:
        "exec python -m condense plot-confusion {input.confusion}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"
