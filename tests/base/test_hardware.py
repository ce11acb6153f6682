"""What a result was computed on is told as it is."""

import torch

from condense.base.hardware import describe
from condense.base.processor import processor


def test_kernels_threads_processor_and_version_are_told():
    told = describe()
    assert torch.__version__ in told and processor() in told
    assert f"{torch.get_num_threads()} thread" in told
