"""Which way of computing a linear is the fastest on this machine: timed on its real shape, never assumed."""

from birdbone.compress.dispatch.cache import DispatchCache, dispatch_key
from birdbone.compress.dispatch.decision import Dispatch, KernelTiming, decide
from birdbone.compress.dispatch.kernels import KERNELS, Kernel, KernelName, make_kernels
from birdbone.compress.dispatch.timing import dispatch_linear, time_kernels

__all__ = [
    "KERNELS",
    "Dispatch",
    "DispatchCache",
    "Kernel",
    "KernelName",
    "KernelTiming",
    "decide",
    "dispatch_key",
    "dispatch_linear",
    "make_kernels",
    "time_kernels",
]
