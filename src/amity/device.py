"""Where tensors are computed: on the CPU, or on a GPU."""

from typing import Literal

from amity.errors import DeviceError

Device = Literal["cpu", "cuda"]


def check_device(name: Device) -> Device:
    """The device as it was named; `DeviceError` where it is not there."""
    import torch  # noqa: PLC0415 (settings are read, and refused, before torch is loaded)

    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "The setting `device` asks for a GPU, and torch finds none that it can use. "
            'Set device = "cpu", or look at what `amity doctor` says of this machine.'
        )
    return name
