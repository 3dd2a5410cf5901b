"""The same seed gives the same inputs; what behaves in a new way is damaged further."""

from __future__ import annotations

from hil.fuzz.mutate import CORPUS_MAX, Mutator


def test_everything_follows_from_the_seed():
    one, other, third = (Mutator([b"message", b"another"], seed=seed, size_max=64) for seed in (1, 1, 2))
    inputs = [one.next() for _ in range(500)]
    assert inputs == [other.next() for _ in range(500)]
    assert inputs != [third.next() for _ in range(500)]
    assert max(map(len, inputs)) <= 64
    assert len(set(inputs)) > 250


def test_a_new_behaviour_joins_the_corpus_once_and_the_corpus_is_bounded():
    mutator = Mutator([b"first"], seed=1, size_max=64)
    mutator.learn(b"novel", "new")
    mutator.learn(b"again", "new")
    assert mutator.behaviours == 1
    assert mutator._corpus == [b"first", b"novel"]
    for number in range(2 * CORPUS_MAX):
        mutator.learn(b"%d" % number, str(number))
    assert len(mutator._corpus) == CORPUS_MAX
    assert mutator._corpus[0] == b"first", "valid messages stay"
