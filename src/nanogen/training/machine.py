"""Memory use and model FLOPs utilisation (MFU) of a training."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from nanogen.records.usage import used

# Peak of dense bfloat16 matrix products in TFLOP/s, from NVIDIA's data sheets, by words of the name. The
# first entry that fits is used, so the forms of a GPU that are slower than its SXM form come before it.
PEAKS = {
    "GB200": 2500.0,
    "B200": 2250.0,
    "GH200": 989.5,
    "H200 NVL": 835.5,
    "H200": 989.5,
    "H100 NVL": 835.5,
    "H100 PCIe": 756.5,
    "H100": 989.5,
    "A100": 312.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
}


def peak_of(name: str) -> float:
    """Return the peak of a GPU in FLOP/s, by the name that its driver reports; 0 if it is unknown."""
    return 1e12 * next((peak for gpu, peak in PEAKS.items() if re.search(rf"\b{gpu}\b", name)), 0.0)


@dataclass(frozen=True)
class Machine:
    """The devices of a training.

    Attributes:
        device: the device of this process.
        world: number of processes, each with such a device.
        flops: floating-point operations of a step per image; 0 if unknown.
        peak: peak of one device in FLOP/s; 0 if unknown, as for CPUs.
    """

    device: torch.device
    world: int
    flops: float = 0.0
    peak: float = 0.0

    @classmethod
    def of(cls, device: torch.device, world: int, flops: float = 0.0) -> Machine:
        """Return the machine, with the peak known from the GPU's name."""
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return cls(device, world, flops, peak_of(name))

    @property
    def memory_gb(self) -> float:
        """Peak memory so far in GB: of the GPU, or of this process on a CPU."""
        cuda = self.device.type == "cuda"
        return (torch.cuda.max_memory_allocated(self.device) if cuda else used().memory) / 1e9

    def mfu(self, images_per_second: float) -> float | None:
        """Return the share of the peak that is used at this rate, in [0, 1]; None if unknown."""
        if not (self.flops and self.peak):
            return None
        return images_per_second * self.flops / (self.peak * self.world)

    def described(self, images_per_second: float) -> str:
        """Return a text such as ``280 images/s, 1.2 GB, MFU 9 %``."""
        mfu = self.mfu(images_per_second)
        share = "" if mfu is None else f", MFU {100 * mfu:.0f} %"
        return f"{images_per_second:.0f} images/s, {self.memory_gb:.1f} GB{share}"
