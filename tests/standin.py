"""A GPU that is not there: tensors that compute on the processor and refuse what CUDA's refuse.

Inside `pretend`, `torch.cuda.is_available()` is true and a tensor "on cuda" is an `OnDevice`: `numpy()` and
every implicit conversion of it raise, and so does an operation on it and a tensor elsewhere. What waits for a
GPU, and what a GPU would compute in TF32, is counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
CONVERSIONS = {"numpy", "__array__", "__array_wrap__", "__dlpack__", "share_memory_"}
WAITS = {"item", "__bool__", "__int__", "__float__", "__index__", "tolist", "nonzero", "is_nonzero", "equal"}
WAITS |= {"allclose", "masked_select", "unique", "argwhere", "__contains__", "__format__", "__repr__"}
PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "linear", "einsum"}
CONVOLUTIONS = {"conv1d", "conv2d", "conv_transpose2d"}
ANYWHERE = {"copy_", "__get__", "__set__", "backward", "_has_compatible_shallow_copy_type"}


class OnDevice(Tensor):
    """A tensor that says it is on a GPU."""

    @classmethod
    def __torch_function__(
        cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Also where no mode is, as in threads."""
        return _call(None, func, args, kwargs or {})

    def __deepcopy__(self, memo: dict) -> "OnDevice":
        """Copy of a leaf, as of a network's weights."""
        made = self.detach().clone().requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            made._is_param = True
        memo[id(self)] = made
        return made


class Pretended(TorchFunctionMode):
    """What a block of code asked of the device."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.waits: list[str] = []
        self.rounded: set[str] = set()  # products of float32 that a GPU would compute in TF32

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """See `_call`."""
        return _call(self, func, args, kwargs or {})


class Generator(torch.Generator):
    """A random generator that knows where it was made for."""

    def __new__(cls, device: Any = "cpu") -> "Generator":
        made = super().__new__(cls, "cpu")
        made.at = CUDA if _is_cuda(device) else CPU
        return made

    @property
    def device(self) -> torch.device:
        """Where it was made for."""
        return self.at


@contextmanager
def pretend(monkeypatch: Any) -> Iterator[Pretended]:
    """Let there be one GPU, in this thread."""
    autocast, load = torch.autocast, torch.jit.load
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: None)
        patch.setattr(torch.cuda, "get_device_name", lambda *_: "stand-in")
        patch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 0)
        patch.setattr(torch.cuda, "mem_get_info", lambda *_: (2**34, 2**34))
        patch.setattr(torch.cuda, "set_device", lambda *_: None)
        patch.setattr(Tensor, "pin_memory", lambda self: self)
        patch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
        patch.setattr(torch, "autocast", lambda kind, *given, **named: autocast("cpu", *given, **named))
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch.jit, "load", lambda file, map_location: _script(load(file), map_location))
        precision = torch.get_float32_matmul_precision()
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with Pretended() as device:
                yield device
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)
            torch.set_float32_matmul_precision(precision)  # a training changes it


def _script(module: torch.jit.ScriptModule, where: Any) -> torch.jit.ScriptModule:
    """A script whose weights are named on the device; it runs whole, so that nothing inside it is seen."""
    weights = {name: value.to(where) for name, value in module.state_dict().items()}
    object.__setattr__(module, "state_dict", lambda: weights)
    return module


def _call(device: Pretended | None, func: Callable, args: tuple, kwargs: dict) -> Any:
    """Do what a GPU would do, or refuse it."""
    name = getattr(func, "__name__", "script")
    if name in ("device", "_parse_to"):  # which say where tensors will be sent
        return func(*args, **kwargs)
    if func == Tensor.device.__get__ and isinstance(args[0], OnDevice):
        return CUDA
    if func in (Tensor.is_cuda.__get__, Tensor.is_cpu.__get__):
        return isinstance(args[0], OnDevice) == (func == Tensor.is_cuda.__get__)
    values = list(_leaves((args, kwargs)))
    tensors = [value for value in values if isinstance(value, Tensor)]
    mine = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
    if mine and name in CONVERSIONS:
        raise TypeError(f"can't convert cuda:0 device type tensor to numpy ({name}). Use Tensor.cpu() first.")
    target = _target(name, args, values, bool(mine))
    _same_device(name, args, tensors, mine)
    if any(value.at != target for value in values if isinstance(value, Generator)):
        raise RuntimeError(f"{name} expected a generator of the device of its result, {target}")
    if device is not None and mine:
        device.operations += 1
        _note(device, name, args, mine, target)
    args, kwargs = _on_processor(args), _on_processor(kwargs)
    with torch._C.DisableTorchFunctionSubclass():
        if name in ("to", "cpu", "cuda") and bool(mine) != (target == CUDA):
            args = (args[0].clone().as_subclass(Tensor), *args[1:])  # it moves
        found = _real(func)(*args, **kwargs)
    return _placed(found, target)


def _real(func: Callable) -> Callable:
    """`cuda` itself needs a driver."""
    return (lambda tensor, *_, **__: tensor) if func is Tensor.cuda else func


def _target(name: str, args: tuple, values: list, mine: bool) -> torch.device:
    """Where the result is to be."""
    if name in ("cpu", "cuda"):
        return CPU if name == "cpu" else CUDA
    if name == "to" and len(args) > 1 and isinstance(args[1], Tensor):
        return CUDA if isinstance(args[1], OnDevice) else CPU
    asked = [value for value in values if isinstance(value, torch.device) or _is_cuda(value)]
    if asked:
        return CUDA if _is_cuda(asked[0]) else CPU
    if name == "to" and any(isinstance(value, str) for value in values):
        return CPU
    return CUDA if mine else CPU


def _same_device(name: str, args: tuple, tensors: list[Tensor], mine: list[Tensor]) -> None:
    """Refuse operations on tensors of two devices, as CUDA does; numbers may come from the processor."""
    if name == "grad":  # of results of `torch.func`, which no longer say where they are: all of them, or none
        tensors = [value for value in _leaves((args[:1], args[2:])) if isinstance(value, Tensor)]
        mine = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
    with torch._C.DisableTorchFunctionSubclass():
        others = [tensor for tensor in tensors if not isinstance(tensor, OnDevice) and tensor.dim()]
    if not mine or not others or name in ANYWHERE or name == "to":
        return
    if name in ("__getitem__", "__setitem__") and isinstance(args[0], OnDevice):
        given = args[2:] if any(isinstance(value, Tensor) for value in _leaves(args[1])) else ()
        if not any(tensor is other for tensor in given for other in others):
            return  # an index may come from the processor, and values of a slice too
    raise RuntimeError(f"Expected all tensors to be on the same device, but {name} found cuda:0 and cpu!")


def _note(device: Pretended, name: str, args: tuple, mine: list[Tensor], target: torch.device) -> None:
    """Count what waits for the device, and what it would round."""
    with torch._C.DisableTorchFunctionSubclass():
        masks = name in ("__getitem__", "__setitem__") and any(
            isinstance(value, Tensor) and value.dtype == torch.bool for value in _leaves(args[1])
        )
        single = any(tensor.dtype == torch.float32 for tensor in mine)
    if name in WAITS or masks or (name in ("to", "cpu") and target == CPU):
        device.waits.append(name)
    if single and not torch.is_autocast_enabled("cpu"):
        if name in PRODUCTS and torch.get_float32_matmul_precision() != "highest":
            device.rounded.add(name)
        if name in CONVOLUTIONS and torch.backends.cudnn.allow_tf32:
            device.rounded.add(name)


def _is_cuda(value: Any) -> bool:
    return isinstance(value, str | torch.device) and str(value).startswith("cuda")


def _leaves(values: Any) -> Iterator[Any]:
    """Everything in nested tuples, lists and dictionaries."""
    if isinstance(values, tuple | list):
        for value in values:
            yield from _leaves(value)
    elif isinstance(values, dict):
        yield from _leaves(list(values.values()))
    else:
        yield values


def _on_processor(values: Any) -> Any:
    """The same arguments with the processor for the device."""
    if type(values) in (tuple, list):
        return type(values)(_on_processor(value) for value in values)
    if isinstance(values, dict):
        return {key: _on_processor(value) for key, value in values.items()}
    return CPU if _is_cuda(values) else values


def _placed(found: Any, target: torch.device) -> Any:
    """Results as tensors of the device they belong on."""
    if isinstance(found, tuple | list):
        return type(found)(_placed(value, target) for value in found)
    if not isinstance(found, Tensor) or isinstance(found, OnDevice) == (target == CUDA):
        return found
    with torch._C.DisableTorchFunctionSubclass():
        return found.as_subclass(OnDevice if target == CUDA else Tensor)
