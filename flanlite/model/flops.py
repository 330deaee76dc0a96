"""How much a train step computes, and how fast devices can: what a model's FLOP utilisation (MFU) is the quotient of."""

from flanlite.model.models import ModelConfig

# Peak bfloat16 FLOP/s of a device, dense. TPU: cloud.google.com/tpu/docs, the page of each version. GPU: NVIDIA's data sheets.
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
    """Look up a device's peak by the name that JAX has for it; None where it is not known, as for CPUs and the slower H100 for PCIe."""
    words = device_kind.replace('-', ' ').split()  # 'NVIDIA A100-SXM4-80GB', but 'TPU v4'
    gpu = next((word for word in words if word in PEAKS and 'PCIe' not in words), None)
    return PEAKS.get(gpu or device_kind)


def ideal_seconds(flops: float, device_kind: str, devices: int) -> float | None:
    """Say how long so much takes devices at their peak; None where that is not known."""
    peak = peak_flops(device_kind)
    return None if peak is None else flops / (peak * devices)


def train_step_flops(config: ModelConfig, batch_size: int, inputs: int, targets: int) -> float:
    """Count a train step's floating-point operations: two for each multiply-add of every matrix product, forward and twice that backward.

    This is 6 x parameters x tokens, but for the embedding, which multiplies nothing, and for the decoder's products with the encoder's
    output; with attention's scores and sums over values, whole rows of them, as PaLM's appendix B counts. Padding counts, which
    is computed too; recomputation (`remat_policy`), softmax, norms and the optimizer do not.

    Args:
        config: the model's.
        batch_size: rows.
        inputs: tokens of inputs in a row.
        targets: tokens of targets in a row.
    """
    return 3.0 * 2.0 * batch_size * config.multiply_adds(inputs, targets)
