"""Stand-ins for the two files of the FID Inception: the same interfaces, seeded weights."""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = ["conv", "conv_1", "conv_2", "pool0", "conv_3", "conv_4", "pool1", "mixed"]
STAGES += [f"mixed_{i}" for i in range(1, 11)] + ["pool2"]


class Branched(nn.Module):
    """A block whose first branch is called `conv`."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out - 4, 1)
        self.tower = nn.Conv2d(width, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.cat([self.conv(x), self.tower(x)], 1))


class Script(nn.Module):
    """The TorchScript's interface: resizes, normalises, and answers with features or probabilities."""

    def __init__(self, classes: int = 20, width: int = 12) -> None:
        super().__init__()
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for name in STAGES:
            stages[name] = Branched(width, width) if name.startswith("mixed") else nn.Identity()
        stages["conv"] = nn.Conv2d(3, width, 3, stride=16)
        stages["pool0"] = nn.MaxPool2d(3, stride=2)
        stages["mixed_10"] = Branched(width, 2048)
        stages["pool2"] = nn.AdaptiveAvgPool2d(1)
        self.layers = nn.Sequential(stages)
        self.output = nn.Linear(2048, classes)

    def forward(
        self,
        img: Tensor,
        return_features: bool = False,
        use_fp16: bool = False,
        no_output_bias: bool = False,
    ) -> Tensor:
        x = img.to(torch.float32)
        height, width = img.shape[2], img.shape[3]
        theta = torch.eye(2, 3, device=x.device)
        theta[0, 2] += 1.0 / width - 1.0 / 299
        theta[1, 2] += 1.0 / height - 1.0 / 299
        # sampling point i sits at i * width / 299: TensorFlow's bilinear resizing without half pixels
        theta = theta.unsqueeze(0).repeat(img.shape[0], 1, 1)
        grid = F.affine_grid(theta, [img.shape[0], 3, 299, 299], align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
        features = self.layers((x - 128) / 128).reshape(-1, 2048)
        if return_features:
            return features
        bias = torch.zeros_like(self.output.bias) if no_output_bias else self.output.bias
        return F.linear(features, self.output.weight, bias).softmax(dim=1)


def write_script(path: Path, classes: int = 20) -> Path:
    """Write a TorchScript file like `inception-2015-12-05.pt`."""
    module = _seeded(Script(classes).eval())
    nn.init.normal_(module.output.weight, std=0.05)
    torch.jit.script(module).save(path)
    return path


def write_weights(path: Path, monkeypatch) -> Path:
    """Write seeded weights like torch-fidelity's file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.save({}, path)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("inception", ["2048"], str(path))
    torch.save(_seeded(network).state_dict(), path)
    return path


def _seeded(network: nn.Module) -> nn.Module:
    """Weights large enough for images to differ after all stages."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return network
