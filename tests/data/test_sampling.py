from __future__ import annotations

import concurrent.futures

import numpy as np
import pytest

from daaf_tf.data.sampling import (
    AUGMENTATION,
    IDENTITIES,
    IMAGES,
    BatchSampler,
    Deal,
    make_generator,
)
from daaf_tf.errors import UserError

# Packs and hands with every relation: equal, one more, a common divisor, none, many times as large.
DEALS = [(1, 1), (5, 5), (6, 5), (7, 5), (9, 6), (10, 5), (12, 8), (17, 16), (31, 16), (751, 18)]

MARKET = np.random.RandomState(0).randint(2, 73, 751)


def make_sampler(images_per_label, *, p=18, k=4, seed=1):
    return BatchSampler(images_per_label, seed=seed, identities_per_batch=p, images_per_identity=k)


def labels_of(positions, images_per_label):
    return np.searchsorted(np.cumsum(images_per_label), positions, side="right")


@pytest.mark.parametrize(("count", "size"), DEALS)
def test_no_card_is_twice_in_a_hand_and_every_card_is_once_in_a_pass(count, size):
    deal = Deal(count, size, seed=3, purpose=IDENTITIES)
    hands = np.array([deal.hand(number) for number in range(3 * count)])
    assert hands.shape == (3 * count, size)
    assert all(len(set(hand)) == size for hand in hands.tolist())
    passes = hands.reshape(-1, count)
    np.testing.assert_array_equal(np.sort(passes, axis=1), np.tile(np.arange(count), (3 * size, 1)))


@pytest.mark.parametrize(("count", "size"), DEALS)
def test_a_hand_depends_on_its_number_alone(count, size):
    forward = Deal(count, size, seed=3, purpose=IDENTITIES)
    hands = [forward.hand(number) for number in range(2 * count)]
    shuffled = Deal(count, size, seed=3, purpose=IDENTITIES)
    for number in np.random.RandomState(1).permutation(2 * count):
        np.testing.assert_array_equal(shuffled.hand(number), hands[number])
        fresh = Deal(count, size, seed=3, purpose=IDENTITIES)
        np.testing.assert_array_equal(fresh.hand(number), hands[number])


def test_a_hand_across_two_passes_favours_no_card():
    # Hands of 3 from 5 cards: hand 1 takes two cards of pass 0 and one of pass 1.
    hands = [Deal(5, 3, seed, IDENTITIES).hand(1) for seed in range(4000)]
    counts = np.array([np.bincount(column, minlength=5) for column in np.transpose(hands)])
    chi_square = ((counts - 800) ** 2 / 800).sum(axis=1)
    assert (chi_square < 18.5).all()  # 4 degrees of freedom: exceeded once in 1,000 times


@pytest.mark.parametrize(("p", "k"), [(18, 4), (16, 4), (2, 1), (5, 80)])
def test_batch_is_p_identities_of_k_images_in_a_row(p, k):
    sampler = make_sampler(MARKET, p=p, k=k)
    for step in range(60):
        positions = sampler.positions(step)
        assert positions.dtype == np.int64
        assert positions.min() >= 0
        assert positions.max() < MARKET.sum()
        rows = labels_of(positions, MARKET).reshape(p, k)
        np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], k, axis=1))
        assert len(set(rows[:, 0])) == p


def test_every_identity_is_visited_once_per_pass():
    counts = np.full(23, 4)
    sampler = make_sampler(counts, p=5, k=4)
    steps = [labels_of(sampler.positions(step), counts)[::4] for step in range(4 * 23)]
    visits = np.concatenate(steps).reshape(-1, 23)
    assert all(set(visit) == set(range(23)) for visit in visits.tolist())


@pytest.mark.parametrize("k", [1, 4, 6, 11])
def test_no_image_repeats_before_all_others_are_used(k):
    counts = np.arange(1, 13)
    sampler = make_sampler(counts, p=12, k=k)
    for step in range(30):
        for positions in sampler.positions(step).reshape(12, k):
            label = labels_of(positions[:1], counts)[0]
            used = np.bincount(positions - counts[:label].sum(), minlength=counts[label])
            assert used.max() - used.min() <= 1
            assert used.max() == -(-k // counts[label])


def test_images_of_an_identity_are_used_equally_often():
    counts = np.array([2, 3, 4, 5, 7, 30])
    sampler = make_sampler(counts, p=4, k=4)
    used = np.zeros(counts.sum(), dtype=int)
    for step in range(6 * 420 // 4):  # each identity is visited 420 times, 1,680 images
        used += np.bincount(sampler.positions(step), minlength=len(used))
    np.testing.assert_array_equal(used, np.repeat(1680 // counts, counts))


def test_images_meet_in_every_combination():
    sampler = make_sampler(np.array([5, 5]), p=2, k=2)
    batches = np.array([sampler.positions(step) for step in range(2000)]).reshape(-1, 2)
    firsts = np.sort(batches[batches[:, 0] < 5], axis=1)
    pairs = np.bincount(firsts[:, 0] * 5 + firsts[:, 1], minlength=25).reshape(5, 5)
    pairs = pairs[np.triu_indices(5, 1)]
    assert ((pairs - 200) ** 2 / 200).sum() < 27.9  # 9 degrees of freedom: once in 1,000 times


def test_batch_is_a_function_of_seed_and_step():
    sequential = make_sampler(MARKET)
    batches = [sequential.positions(step) for step in range(100)]
    for step in (99, 0, 57, 58, 3):
        np.testing.assert_array_equal(make_sampler(MARKET).positions(step), batches[step])
        np.testing.assert_array_equal(sequential.positions(step), batches[step])
    assert len({tuple(batch) for batch in batches}) == 100
    assert not np.array_equal(make_sampler(MARKET, seed=2).positions(0), batches[0])


def test_threads_may_share_a_sampler():
    sampler = make_sampler(np.full(40, 6), p=16)
    expected = [make_sampler(np.full(40, 6), p=16).positions(step) for step in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        found = list(threads.map(sampler.positions, range(200)))
    np.testing.assert_array_equal(found, expected)


def test_five_million_images_of_100_000_identities():
    counts = np.random.RandomState(0).randint(1, 100, 100_000)
    assert counts.sum() > 4_900_000
    sampler = make_sampler(counts)
    ends = np.cumsum(counts)
    for step in (0, 5_555, 5_556, 10**7, 10**12):
        positions = sampler.positions(step)
        labels = np.searchsorted(ends, positions, side="right").reshape(18, 4)
        assert len(set(labels[:, 0])) == 18
        assert (labels == labels[:, :1]).all()
        for label, images in zip(labels[:, 0], positions.reshape(18, 4)):
            assert len(set(images)) == min(4, counts[label])
    # A pass is 5,555.6 batches long: batch 5,555 ends the first and begins the second.
    deal = Deal(100_000, 18, seed=1, purpose=IDENTITIES)
    seen = np.concatenate([deal.hand(step) for step in range(5_556)])
    np.testing.assert_array_equal(np.bincount(seen[:100_000]), 1)


def test_fewer_identities_than_a_batch_needs():
    with pytest.raises(UserError, match="hold 17 identities.*needs 18.*--identities_per_batch"):
        make_sampler(np.full(17, 4))


def test_streams_of_random_numbers_are_apart_and_reproducible():
    keys = [(1, IDENTITIES, 0), (1, IDENTITIES, 1), (1, IMAGES, 0), (1, IMAGES, 0, 1)]
    keys += [(1, AUGMENTATION, 0), (2, AUGMENTATION, 0), (2**70, AUGMENTATION, 2**63)]
    draws = [tuple(make_generator(*key).random(4)) for key in keys]
    assert len(set(draws)) == len(keys)
    assert draws == [tuple(make_generator(*key).random(4)) for key in keys]


def test_batches_stay_what_they_were():
    # A new numpy or a change of this file must not change the batches of a run that is resumed.
    np.testing.assert_allclose(
        make_generator(1, IDENTITIES, 2, 3).random(2), [0.5665733457888198, 0.49044985261505825]
    )
    positions = make_sampler(np.array([3, 5, 9, 2]), p=3, k=3).positions(1000)
    np.testing.assert_array_equal(positions, [14, 9, 15, 0, 1, 2, 5, 3, 7])
