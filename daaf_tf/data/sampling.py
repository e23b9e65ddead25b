"""P x K sampling as a pure function of (seed, step): P identities, K images of each.

There is no iterator to save: whoever knows the seed and the step knows the batch, so a run that was
killed resumes on the very batch that it would have seen, and every worker draws the same.

Identities, and the images of one identity, are dealt like cards (`Deal`): hands of a fixed size
from an endless row of shuffled packs.
"""

from __future__ import annotations

import math

import numpy as np

from daaf_tf.errors import UserError

# What a stream of random numbers is for; streams of different purposes never meet.
IDENTITIES = 0
IMAGES = 1
AUGMENTATION = 2


def make_generator(seed: int, purpose: int, *counter: int) -> np.random.Generator:
    """Return the random numbers that belong to a seed, a purpose and a place.

    Args:
      seed: of the run, 0 or more.
      purpose: one of the constants of this module.
      *counter: up to three whole numbers in 0..2^64-1, say a step; other places give independent
        numbers (they are the upper words of Philox's counter).
    """
    key = np.random.SeedSequence(seed, spawn_key=(purpose,)).generate_state(2, np.uint64)
    counter = np.array([0, *counter, 0, 0, 0][:4], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


class Deal:
    """An endless deal of the cards 0..count-1 in hands of one size.

    No card is twice in a hand, and every card is dealt once in a pass: the first `count` cards
    dealt, the next `count`, and so on. A hand may straddle two passes; then cards of the new pass
    that are in the hand already wait until it is full.

    A hand is a function of its number: hands may be asked for in any order.
    """

    def __init__(self, count: int, size: int, seed: int, purpose: int, label: int = 0):
        """Prepare the deal.

        Args:
          count: cards in the pack.
          size: cards in a hand, 1..count.
          seed: of the run.
          purpose: of its random numbers, see `make_generator`.
          label: which of the purpose's deals this is.
        """
        self._count, self._size = count, size
        self._seed, self._purpose, self._label = seed, purpose, label
        # Every so many passes the last hand of a pass comes out even, and the next pass depends on
        # nothing that was before. So any hand is at most `size` shuffles away.
        self._independent = size // math.gcd(count, size)
        self._latest = (-1, np.array([], dtype=np.int64))

    def hand(self, number: int) -> np.ndarray:
        """Return the cards of a hand, [size] int64."""
        last_pass = ((number + 1) * self._size - 1) // self._count
        first_hand = last_pass * self._count // self._size
        start = (number - first_hand) * self._size
        return self._cards(last_pass)[start : start + self._size]

    def _cards(self, number: int) -> np.ndarray:
        """Return the cards that the pass before left for this one's first hand, and this pass."""
        latest, cards = self._latest
        restart = number - number % self._independent
        if not restart <= latest <= number:
            latest, cards = restart - 1, cards[:0]
        for each in range(latest + 1, number + 1):
            left = each * self._count % self._size
            cards = self._shuffle(each, cards[len(cards) - left :])
        # One assignment, so that threads that share a deal see one pass or the other.
        self._latest = (number, cards)
        return cards

    def _shuffle(self, number: int, left: np.ndarray) -> np.ndarray:
        """Return the cards `left` and, behind them, a pass that begins with none of them."""
        order = make_generator(self._seed, self._purpose, number, self._label).permutation(
            self._count
        )
        if not len(left):
            return order
        fits = np.ones(self._count, dtype=bool)
        fits[left] = False
        first = np.zeros(self._count, dtype=bool)
        first[np.flatnonzero(fits[order])[: self._size - len(left)]] = True
        return np.concatenate((left, order[first], order[~first]))


class BatchSampler:
    """The positions of every training batch.

    In each batch: P distinct identities, K images of each, in a row. In each pass over the
    identities: every identity once. Of an identity with K images or more: no image twice in a
    batch; of a smaller one: every image as often as any other, give or take one. Over the
    visits to an identity: no image again before all others had their turn.
    """

    def __init__(
        self,
        images_per_label: np.ndarray,
        *,
        seed: int,
        identities_per_batch: int,
        images_per_identity: int,
    ):
        """Check the counts.

        Args:
          images_per_label: [N] images of label 0..N-1, each 1 or more; records are sorted by label.
          seed: of the run, 0 or more.
          identities_per_batch: P.
          images_per_identity: K.

        Raises:
          UserError: fewer identities than P.
        """
        self._images_per_label = np.asarray(images_per_label, dtype=np.int64)
        self._first_positions = np.cumsum(self._images_per_label) - self._images_per_label
        self._seed = seed
        self._images_per_identity = images_per_identity
        count = len(self._images_per_label)
        if count < identities_per_batch:
            raise UserError(
                f"the training records hold {count} identities, a batch needs "
                f"{identities_per_batch} different ones: lower --identities_per_batch "
                "or convert a larger data set"
            )
        self._identities_per_batch = identities_per_batch
        self._identities = Deal(count, identities_per_batch, seed, IDENTITIES)

    def positions(self, step: int) -> np.ndarray:
        """Return the positions in the training split of a step's images.

        Args:
          step: 0 or more.

        Returns:
          [P * K] int64, K positions of one identity after the other.
        """
        labels = self._identities.hand(step)
        slots = step * self._identities_per_batch + np.arange(self._identities_per_batch)
        # An identity is visited once per pass, so the pass is the number of the visit.
        visits = slots // len(self._images_per_label)
        return np.concatenate(
            [self._images(label, visit) for label, visit in zip(labels.tolist(), visits.tolist())]
        )

    def _images(self, label: int, visit: int) -> np.ndarray:
        count = int(self._images_per_label[label])
        rounds, rest = divmod(self._images_per_identity, count)
        images = np.tile(np.arange(count), rounds)
        if rest:
            deal = Deal(count, rest, self._seed, IMAGES, label)
            images = np.concatenate((images, deal.hand(visit)))
        return self._first_positions[label] + images
