"""Time and peak memory of all metrics against torch-fidelity and prdc on the same features.

    python benchmarks/scoring.py                   50,000 samples, 50,000 reference images, 2,048 dimensions
    python benchmarks/scoring.py --images 10000    the same, smaller

Each library works in a process of its own; peak memory includes Python, torch, the features and the logits.
What the other libraries compute of all pairs of images is measured on `--pairs-images` and scaled by the
square of the ratio (prdc holds whole matrices, 40 GB for 50,000 images); 0 measures it in full. Processor
seconds tell more than wall time where other work shares the machine; take them with OMP_NUM_THREADS=1.
"""

import contextlib
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Tensor

DIMENSIONS, CLASSES, FACTORS = 2048, 1000, 64
Work = dict[str, Callable[[], object]]


def features(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features [n, 2048], positive and correlated as an Inception's are, and logits [n, 1000]."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(FACTORS, DIMENSIONS, generator=torch.Generator().manual_seed(0)) / FACTORS**0.5
    factors = torch.randn(count, FACTORS, generator=generator)
    values = (factors @ mixing).add_(torch.randn(count, DIMENSIONS, generator=generator), alpha=0.5).relu_()
    return values, values @ torch.randn(DIMENSIONS, CLASSES, generator=torch.Generator().manual_seed(1)) / 10


def of_gadc(samples: Tensor, logits: Tensor, reference: Tensor, _: slice) -> Work:
    from condense.scoring.frechet import fit, frechet_distance
    from condense.scoring.inception_score import inception_score
    from condense.scoring.kernel_distance import kernel_distance
    from condense.scoring.manifold import compare

    return {
        "FID": lambda: frechet_distance(fit(samples), fit(reference)),
        "IS": lambda: inception_score(logits, max(1, len(logits) // 10)).mean,
        "KID": lambda: kernel_distance(samples, reference).mean,
        "pairs": lambda: list(vars(compare(samples, reference)).values()),
    }


def of_torch_fidelity(samples: Tensor, logits: Tensor, reference: Tensor, few: slice) -> Work:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    def fid() -> dict:
        return fid_statistics_to_metric(*map(fid_features_to_statistics, (samples, reference)), False)

    def kid() -> dict:
        return kid_features_to_metric(samples, reference, verbose=False)

    return {
        "FID": lambda: fid()["frechet_inception_distance"],
        "IS": lambda: isc_features_to_metric(logits, 10, shuffle=False)["inception_score_mean"],
        "KID": lambda: kid()["kernel_inception_distance_mean"],
        "pairs": lambda: calculate_precision_recall_part(samples[few], reference[few]),
    }


def of_prdc(samples: Tensor, _: Tensor, reference: Tensor, few: slice) -> Work:
    from prdc import compute_prdc

    def density_and_coverage() -> list:
        found = compute_prdc(reference[few].numpy(), samples[few].numpy(), nearest_k=5)
        return [float(found["density"]), float(found["coverage"])]

    return {"pairs": density_and_coverage}


LIBRARIES = {"gadc": of_gadc, "torch-fidelity": of_torch_fidelity, "prdc": of_prdc}


def measure(library: str, count: int, few: int) -> None:
    """Print wall and processor seconds and the value of each metric, and the peak memory in GB, as JSON."""
    samples, logits = features(count, 2)
    reference, _ = features(count, 3)
    rows = []
    with contextlib.redirect_stdout(io.StringIO()):
        for name, work in LIBRARIES[library](samples, logits, reference, slice(few)).items():
            wall, processor = time.perf_counter(), time.process_time()
            value = work()
            rows.append((name, time.perf_counter() - wall, time.process_time() - processor, str(value)))
    print(json.dumps({"rows": rows, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}))


def main(
    images: Annotated[int, typer.Option(help="Samples, and as many reference images.")] = 50_000,
    pairs_images: Annotated[int, typer.Option(help="Images of the other libraries' pairs; 0: all.")] = 10_000,
    library: Annotated[str, typer.Option(help="Measure only this one, in this process.")] = "",
) -> None:
    few = min(images, pairs_images or images)
    if library:
        return measure(library, images, few)
    print(
        f"{images:,} samples and reference images, {DIMENSIONS} dimensions, {torch.get_num_threads()} threads"
    )
    print(f"{'library':16}{'metric':8}{'wall s':>10}{'processor s':>13}  value")
    totals = {}
    for name in LIBRARIES:
        command = [sys.executable, __file__, "--library", name]
        command += ["--images", str(images), "--pairs-images", str(few)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        total = [0.0, 0.0]
        for metric, wall, processor, value in found["rows"]:
            scale = (images / few) ** 2 if metric == "pairs" and name != "gadc" else 1
            total = [total[0] + wall * scale, total[1] + processor * scale]
            note = f" of {few:,} images, times {scale:.1f}" if scale > 1 else ""
            print(f"{name:16}{metric:8}{wall * scale:10.1f}{processor * scale:13.1f}  {value}{note}")
        totals[name] = total
        print(f"{name:16}{'all':8}{total[0]:10.1f}{total[1]:13.1f}  peak {found['peak']:.2f} GB")
    ratios = [sum(totals[name][i] for name in ("torch-fidelity", "prdc")) / totals["gadc"][i] for i in (0, 1)]
    print(f"sum of the others / gadc: {ratios[0]:.2f} wall, {ratios[1]:.2f} processor")
    return None


if __name__ == "__main__":
    typer.run(main)
