"""Masked variables: what is shown of a spec, and what a shown one stands for when it is sent again."""

from __future__ import annotations

from headrace.common.contracts.revision import MASK, RevisionSpec
from headrace.manager.domain.masking import masked_document, masked_spec, needs_former, with_former

BEFORE = RevisionSpec(environ={"A": "secret", "B": "plain"}, masked=("A",))


def test_a_spec_is_shown_and_recorded_without_the_values_of_masked_variables() -> None:
    assert masked_spec(BEFORE).environ == {"A": MASK, "B": "plain"}
    assert masked_document(BEFORE.model_dump(mode="json"))["environ"] == {"A": MASK, "B": "plain"}
    bare = RevisionSpec(environ={"A": "x"})
    assert masked_spec(bare) is bare
    assert masked_document({"environ": {"A": "x"}}) == {"environ": {"A": "x"}}
    assert masked_document({"masked": ["A"]}) == {"masked": ["A"], "environ": {}}


def test_a_shown_spec_that_is_sent_again_means_the_values_of_the_revision_before() -> None:
    shown = masked_spec(BEFORE)
    assert needs_former(shown)
    assert not needs_former(BEFORE)
    assert with_former(shown, BEFORE) == BEFORE
    other = RevisionSpec(environ={"A": MASK, "B": MASK, "C": MASK})
    assert with_former(other, BEFORE).environ == {"A": "secret", "B": MASK, "C": MASK}
    stale = RevisionSpec(environ={}, masked=("A",))
    assert with_former(shown, stale).environ == shown.environ
