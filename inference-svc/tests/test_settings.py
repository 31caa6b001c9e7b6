from __future__ import annotations

from pathlib import Path

import pytest

from inference.engine.options import SPECULATE
from inference.limits import limits_for
from inference.settings import KERNELS, PACKING, QUANTIZE, SettingsError, read_settings

MODEL = {"MODEL_ID": "org/model"}


def test_the_defaults_are_tgis() -> None:
    settings = read_settings([], MODEL)
    assert (settings.hostname, settings.port) == ("0.0.0.0", 3000)
    assert (settings.max_concurrent_requests, settings.max_best_of, settings.max_stop_sequences) == (
        128,
        2,
        4,
    )
    assert (settings.max_input_tokens, settings.max_total_tokens) == (None, None)
    assert settings.speculate == SPECULATE
    assert settings.model_cache_dir == Path.home() / ".cache" / "hadal-inference"


def test_a_flag_goes_before_a_variable() -> None:
    settings = read_settings(["--port", "81", "--model-id", "a/b"], {**MODEL, "PORT": "80"})
    assert (settings.port, settings.model_id) == (81, "a/b")


def test_every_bad_value_is_told_at_once() -> None:
    environment = {"PORT": "x", "DTYPE": "int3", "NUM_THREADS": "0", "MAX_BEST_OF": "-1", "LOG_LEVEL": "loud"}
    environment |= {"SPECULATE": "65"}
    with pytest.raises(SettingsError) as caught:
        read_settings([], environment)
    lines = str(caught.value).splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted([*environment, "MODEL_ID"])
    assert "PORT must be an integer from 0 to 65535. Given: 'x'" in lines


def test_the_prompt_must_be_shorter_than_the_whole() -> None:
    with pytest.raises(SettingsError, match="MAX_INPUT_TOKENS must be less than MAX_TOTAL_TOKENS"):
        read_settings([], {**MODEL, "MAX_INPUT_TOKENS": "10", "MAX_TOTAL_TOKENS": "10"})


def test_other_models_are_named_or_go_by_their_hub_id() -> None:
    settings = read_settings([], {**MODEL, "MODELS": " small = /models/a=b , org/name ,"})
    assert settings.models == {"small": "/models/a=b", "org/name": "org/name"}
    assert read_settings([], MODEL).models == {}


def test_adapters_are_named_or_go_by_their_hub_id_without_its_revision() -> None:
    settings = read_settings([], {**MODEL, "LORA_ADAPTERS": "a=/adapters/a, org/b@v2,c=org/c"})
    assert settings.lora_adapters == {"a": "/adapters/a", "org/b": "org/b@v2", "c": "org/c"}


@pytest.mark.parametrize(
    ("given", "sizes"), [("", ()), ("0", ()), ("8", (8,)), ("4, 1,2,4", (1, 2, 4)), (" 16,32 ", (16, 32))]
)
def test_sizes_of_recorded_steps_are_ascending_and_none_unless_asked_for(
    given: str, sizes: tuple[int, ...]
) -> None:
    assert read_settings([], {**MODEL, "CUDA_GRAPHS": given}).cuda_graphs == sizes


@pytest.mark.slow
def test_the_kernels_and_packings_that_can_be_forced_are_the_engine_s() -> None:
    import torch

    from inference.engine.operators.choice import KERNELS as KERNELS_THERE_ARE
    from inference.engine.operators.packing import packing_names
    from inference.engine.quantization.packing import MODES

    assert KERNELS_THERE_ARE == KERNELS
    formats = (torch.float32, torch.bfloat16, torch.float16)
    assert {"auto", *(name for dtype in formats for name in packing_names(dtype))} == set(PACKING)
    assert {*MODES, "none"} == set(QUANTIZE)


def test_kernels_and_packing_are_chosen_by_the_machine_unless_forced() -> None:
    settings = read_settings([], MODEL)
    assert (settings.kernels, settings.packing) == ("auto", "auto")
    settings = read_settings(["--kernels", "torch"], {**MODEL, "PACKING": "plain"})
    assert (settings.kernels, settings.packing) == ("torch", "plain")
    with pytest.raises(SettingsError, match="PACKING must be one of auto, float16-weights"):
        read_settings([], {**MODEL, "PACKING": "tight"})


@pytest.mark.parametrize("given", ["x", "1,,2", "0,1", "-1", "2000"])
def test_sizes_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="CUDA_GRAPHS must be 0, or integers from 1 to 1024"):
        read_settings([], {**MODEL, "CUDA_GRAPHS": given})


@pytest.mark.parametrize("given", ["a=", "=/b", "a=/b,a=/c"])
def test_a_model_without_a_name_or_a_place_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="MODELS must be name=location"):
        read_settings([], {**MODEL, "MODELS": given})


@pytest.mark.parametrize(
    ("given", "address"), [("pod-7f", "0.0.0.0"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("", "0.0.0.0")]
)
def test_a_container_s_own_name_in_hostname_means_every_address(given: str, address: str) -> None:
    assert read_settings([], {**MODEL, "HOSTNAME": given}).hostname == address


def test_a_hostname_flag_must_be_an_address() -> None:
    assert read_settings(["--hostname", "localhost"], MODEL).hostname == "localhost"
    with pytest.raises(SettingsError, match="--hostname must be an IP address"):
        read_settings(["--hostname", "pod-7f"], MODEL)


@pytest.mark.parametrize(
    ("variables", "limits"),
    [
        ({}, (99, 100)),
        ({"MAX_TOTAL_TOKENS": "50"}, (49, 50)),
        ({"MAX_TOTAL_TOKENS": "500"}, (99, 100)),
        ({"MAX_INPUT_TOKENS": "30"}, (30, 100)),
        ({"MAX_INPUT_TOKENS": "300", "MAX_TOTAL_TOKENS": "500"}, (99, 100)),
    ],
)
def test_token_limits_stay_within_the_models_window(
    variables: dict[str, str], limits: tuple[int, int]
) -> None:
    result = limits_for(read_settings([], {**MODEL, **variables}), context_tokens=100)
    assert (result.max_input_tokens, result.max_total_tokens) == limits
