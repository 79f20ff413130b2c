"""How long vectors are: as training compares them, and as retrieval does."""

from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import normalize

from amity.encoder.config import EncoderConfig


def scale(codes: Float[Tensor, "*nodes dim"], config: EncoderConfig) -> Float[Tensor, "*nodes dim"]:
    """The vectors that training compares: of length 1 under `cosine`."""
    return normalize(codes, dim=-1) if config.output == "cosine" else codes


def stretch(
    vectors: Float[Tensor, "nodes dim"], degrees: Float32[Tensor, "nodes"], config: EncoderConfig
) -> Float[Tensor, "nodes dim"]:
    """The vectors that retrieval compares: at one length, the popular would rank no higher than the unknown."""
    power = config.popularity if config.output == "cosine" else 0.0
    return vectors * degrees.clamp(min=1.0).pow(power)[:, None]
