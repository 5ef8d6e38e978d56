"""A release and the beginning of a text become the text that goes on."""

import torch

from infra.releases import Registry
from infra.settings import Settings
from tasks.algorithm.scoring import generate
from tasks.distribution.release_model import load_release
from tasks.distribution.threads import threads_for


def sample_release(settings: Settings, ref: str, text: str, *, tokens: int, temperature: float, seed: int) -> str:
    """What the release `ref` writes after `text`: same seed, same text.

    Raises:
        StorageError: no such release, or a file of it was tampered with.
    """
    registry = Registry.of(settings)
    log, release = registry.release(ref)
    scratch = settings.cache / "sample"
    model, tokenizer = load_release(registry, release.files, ref=f"{log.name}@v{release.version}", scratch=scratch)
    prompt = tokenizer.encode(text).ids
    generator = torch.Generator().manual_seed(seed)
    with threads_for(model):
        written = generate(model, prompt, n_tokens=tokens, temperature=temperature, generator=generator)
    # Decoded together: the last token of the prompt and the first after it may share a character.
    return tokenizer.decode([*prompt, *written])[len(tokenizer.decode(prompt)) :]
