"""FLOPs of a train step, and peak FLOP/s of devices: their quotient is the ideal time, and its share of the
real time is the MFU.
"""

from flanlite.model.models import ModelConfig

# Peak bfloat16 FLOP/s of a device, dense. TPU: cloud.google.com/tpu/docs, the page of each version. GPU:
# NVIDIA's data sheets.
PEAKS = {
    'TPU v4': 275e12,
    'TPU v5 lite': 197e12,  # v5e
    'TPU v5e': 197e12,
    'TPU v5p': 459e12,
    'TPU v5': 459e12,  # v5p, as JAX names it
    'TPU v6 lite': 918e12,  # v6e
    'TPU v6e': 918e12,
    'A100': 312e12,
    'H100': 989e12,  # SXM
    'H200': 989e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Return a device's peak bfloat16 FLOP/s by JAX's name of its kind; None if it is not known, as for CPUs
    and the PCIe and NVL cards, which are slower.
    """
    words = device_kind.replace('-', ' ').split()  # 'NVIDIA A100-SXM4-80GB', but 'TPU v4'
    slower = {'PCIe', 'NVL'} & set(words)
    gpu = next((word for word in words if word in PEAKS and not slower), None)
    return PEAKS.get(gpu or device_kind)


def ideal_seconds(flops: float, device_kind: str, devices: int) -> float | None:
    """Compute the seconds that FLOPs take on devices at their peak; None if the peak is not known.

    Args:
        flops: on all devices together.
        device_kind: JAX's name of the kind.
        devices: number of devices.
    """
    peak = peak_flops(device_kind)
    return None if peak is None else flops / (peak * devices)


def train_step_flops(config: ModelConfig, batch_size: int, inputs: int, targets: int) -> float:
    """Count a train step's floating-point operations as PaLM does (Chowdhery et al. 2022, appendix B).

    A multiply-add of a matrix product counts as two operations in the forward pass and four in the backward
    pass. In a decoder this is 6 x parameters x tokens, plus attention's products, for whole rows even where a
    mask hides a part; embedding a token multiplies nothing and counts as 0. Padding is computed, and counts.
    Recomputation (`remat_policy`), softmax, norms and the optimizer do not count.

    Args:
        config: the model's.
        batch_size: rows of the batch.
        inputs: length of a row's inputs, padding included.
        targets: length of a row's targets, padding included.
    """
    return 3.0 * 2.0 * batch_size * config.multiply_adds(inputs, targets)
