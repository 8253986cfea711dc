"""Which token Ray's processes show each other."""

from __future__ import annotations

import os

import pytest

from sweep.cluster import start as ray_start
from sweep.cluster import token as ray_token
from sweep.cluster.token import CLOSED, MODE, OPEN, TOKEN
from sweep.config.schema import Ray
from sweep.errors import RayError

ADDRESS = "10.0.0.1:6379"


@pytest.fixture(autouse=True)
def _no_token_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MODE, TOKEN):
        # Set first, so that what a test leaves behind is taken away again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def cluster(monkeypatch: pytest.MonkeyPatch, *modes: str) -> list[tuple[str, str]]:
    """A cluster that lets in who comes in one of the modes; returns what it was asked."""
    asked: list[tuple[str, str]] = []

    def ask(address: str, mode: str) -> tuple[str, bool]:
        asked.append((address, mode))
        return ADDRESS, mode in modes

    monkeypatch.setattr(ray_token, "_ask", ask)
    return asked


def test_local_ray_gets_a_token_that_no_other_has() -> None:
    tokens = set()
    for _ in range(3):
        with ray_token.restored():
            ray_token.give_own()
            tokens.add(os.environ[TOKEN])
        assert TOKEN not in os.environ
    assert len(tokens) == 3
    assert all(len(token) == 64 for token in tokens)


def test_token_of_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "mine")
    with ray_token.restored():
        ray_token.give_own()
        assert os.environ[TOKEN] == "mine"
    assert os.environ[TOKEN] == "mine"


@pytest.mark.parametrize("address", [None, "127.0.0.1:1"])
def test_ray_that_has_ended_leaves_no_token_and_no_mode(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(config: Ray) -> None:
        ray_token.give_own()
        os.environ[MODE] = CLOSED  # as Ray itself does

    monkeypatch.setattr(ray_start, "_start", start)
    monkeypatch.setattr(ray_start, "_addresses", dict)
    monkeypatch.setattr(ray_start, "_end", lambda watch: None)
    with ray_start.running(Ray(address=address)):
        assert os.environ[MODE] == CLOSED
    assert MODE not in os.environ
    assert TOKEN not in os.environ


@pytest.mark.parametrize("given", [None, "the mode that fits"])
@pytest.mark.parametrize("mode", [OPEN, CLOSED])
def test_mode_follows_the_cluster(
    mode: str, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, mode)
    if given is not None:
        monkeypatch.setenv(MODE, mode.upper())
    assert ray_token.settle(ADDRESS) == ADDRESS
    assert os.environ[MODE] == mode


def test_automatic_address_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = cluster(monkeypatch, CLOSED)
    assert ray_token.settle("auto") == ADDRESS
    assert asked == [("auto", OPEN), (ADDRESS, CLOSED)]


@pytest.mark.parametrize(("mode", "given"), [(OPEN, CLOSED), (CLOSED, OPEN), (OPEN, "k8s")])
def test_mode_that_does_not_fit_the_cluster_is_refused_in_one_line(
    mode: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, mode)
    monkeypatch.setenv(MODE, given)
    with pytest.raises(RayError, match=f"{ADDRESS}.*RAY_AUTH_MODE={given} here") as caught:
        ray_token.settle(ADDRESS)
    assert "\n" not in str(caught.value)


def test_token_that_is_missing_or_wrong_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch)
    with pytest.raises(RayError, match="copy the head node's ~/.ray/auth_token") as caught:
        ray_token.settle(ADDRESS)
    assert "\n" not in str(caught.value)
    assert MODE not in os.environ


def test_listener_that_is_no_ray_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_token, "_QUESTION", "import time; time.sleep(60)")
    monkeypatch.setattr(ray_token, "_ANSWERS_WITHIN_S", 0.2)
    with pytest.raises(ConnectionError, match=r"no answer of Ray's within 0.2 s"):
        ray_token.settle(ADDRESS)


def test_error_that_is_not_about_tokens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_token, "_QUESTION", "raise ValueError('no such cluster')")
    with pytest.raises(ConnectionError, match="no such cluster"):
        ray_token.settle(ADDRESS)
