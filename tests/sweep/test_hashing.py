"""The hash of what determines a thing."""

from __future__ import annotations

import hashlib

import pytest

from sweep.hashing import canonical, content_hash


def test_hash_is_that_of_the_one_canonical_form() -> None:
    assert canonical({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    assert content_hash({"b": 2, "a": 1}) == content_hash({"a": 1, "b": 2})
    assert content_hash([]) == hashlib.sha256(b"[]").hexdigest()[:16]
    assert len(content_hash("x", 8)) == 8


def test_what_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_hash(float("nan"))
