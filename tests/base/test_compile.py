"""Networks are compiled on a GPU that has a compiler; without one it is a sentence, or a switch."""

import pytest
import torch

from condense.base.compile import compile_network
from condense.base.errors import InputError

GPU = torch.device("cuda")


class Network(torch.nn.Module):
    """Counts how often it is compiled."""

    compiled = 0

    def compile(self) -> None:
        self.compiled += 1


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without compilers, and without wishes."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CC", "TORCH_COMPILE_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_gpu_without_a_c_compiler_is_one_sentence_that_names_the_switch(bare):
    network = Network()
    with pytest.raises(InputError, match=r"needs a C compiler.*TORCH_COMPILE_DISABLE=1") as raised:
        compile_network(network, GPU)
    assert "\n" not in str(raised.value) and not network.compiled


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_a_network_is_compiled_where_there_is_a_compiler(bare, name):
    (bare / name).touch(mode=0o755)
    network = Network()
    assert compile_network(network, GPU) and network.compiled == 1


def test_a_compiler_may_be_named(bare, monkeypatch):
    monkeypatch.setenv("CC", "/opt/cc")
    assert compile_network(Network(), GPU)


def test_the_switch_and_a_cpu_leave_a_network_as_it_is(bare, monkeypatch):
    network = Network()
    assert not compile_network(network, torch.device("cpu"))
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")
    assert not compile_network(network, GPU)
    assert not network.compiled
