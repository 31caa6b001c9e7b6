"""transformers: `generate` with padding, and its continuous batching where `--continuous` follows."""

from __future__ import annotations

import sys
import time

import torch
import transformers
from inference.engine.number_format import choose_number_format, cpu_instructions
from workload import Workload


class FirstToken(transformers.StoppingCriteria):
    """Stops nothing; notes when the first token was there."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Called after every token."""
        self.at_s = self.at_s or time.perf_counter()
        return torch.zeros(len(input_ids), dtype=torch.bool)


def padded(model: transformers.PreTrainedModel, prompts: list[list[int]], new_tokens: int) -> float:
    """One batch, padded to the longest prompt; the seconds from the first token to the last."""
    longest = max(map(len, prompts))
    first = FirstToken()
    model.generate(
        torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts]),
        attention_mask=torch.tensor(
            [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        ),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        pad_token_id=0,
        stopping_criteria=transformers.StoppingCriteriaList([first]),
    )
    return (time.perf_counter() - first.at_s) * new_tokens / (new_tokens - 1)


def continuous(model: transformers.PreTrainedModel, prompts: list[list[int]], new_tokens: int) -> float:
    """The library's own continuous batching."""
    settings = transformers.GenerationConfig(
        max_new_tokens=new_tokens, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    start = time.perf_counter()
    answers = model.generate_batch(
        prompts,
        generation_config=settings,
        continuous_batching_config=transformers.ContinuousBatchingConfig(
            num_blocks=256, max_batch_tokens=512
        ),
        progress_bar=False,
    )
    made = sum(len(answer.generated_tokens) for answer in answers.values())
    if made != len(prompts) * new_tokens:
        raise RuntimeError(f"continuous batching made {made} tokens of {len(prompts) * new_tokens}")
    return time.perf_counter() - start


def main() -> None:
    """The peer."""
    workload = Workload.parse(sys.argv[2])
    torch.set_num_threads(workload.threads)
    transformers.utils.logging.set_verbosity_error()
    dtype = choose_number_format("auto", "cpu", cpu_instructions()).dtype
    batching = "--continuous" in sys.argv
    model = transformers.AutoModelForCausalLM.from_pretrained(
        sys.argv[1], dtype=getattr(torch, dtype), attn_implementation="sdpa"
    ).eval()
    way = continuous if batching else padded
    # Not `inference_mode`: the library's continuous batching computes in a thread of its own.
    workload.measure(lambda prompts, new_tokens: way(model, prompts, new_tokens))


if __name__ == "__main__":
    main()
