"""The engine's texts and vectors."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import generation


@given(st.integers(), st.text(), st.integers(0, 200))
def test_an_answer_has_exactly_the_tokens_asked_for_and_is_always_the_same(seed: int, prompt: str, tokens: int) -> None:
    answer = generation.answer(seed, "m", prompt, tokens)
    assert answer == generation.answer(seed, "m", prompt, tokens)
    assert generation.count_tokens("".join(answer)) == len(answer) == tokens


def test_different_questions_seeds_and_models_have_different_answers() -> None:
    answers = {
        "".join(generation.answer(seed, model, prompt, 20))
        for seed, model, prompt in [(0, "m", "a"), (0, "m", "b"), (1, "m", "a"), (0, "n", "a")]
    }
    assert len(answers) == 4


@given(st.lists(st.text(min_size=1, max_size=4), max_size=20), st.lists(st.text(min_size=1, max_size=3), max_size=3))
def test_a_stop_text_ends_the_answer_before_it(tokens: list[str], stop: list[str]) -> None:
    text = "".join(tokens)
    kept, met = generation.cut_at_stop(tokens, stop)
    assert met == any(word in text for word in stop)
    assert text.startswith("".join(kept))
    assert not any(word in "".join(kept) for word in stop)
    if met:
        assert any(text[len("".join(kept)) :].startswith(word) for word in stop)


@given(st.text(), st.integers(1, 64))
def test_an_embedding_is_a_unit_vector_and_always_the_same(text: str, dimensions: int) -> None:
    vector = generation.embed(0, text, dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1.0)
    assert vector == generation.embed(0, text, dimensions)
    assert len(generation.pack(vector)) == 4 * dimensions


def test_texts_with_common_words_lie_nearer() -> None:
    a, b, c = (
        generation.embed(0, t, 384) for t in ("the mill turns slowly", "the wheel turns slowly", "bread, jam and tea")
    )
    assert sum(map(float.__mul__, a, b)) > 0.5 > 0.3 > sum(map(float.__mul__, a, c))
