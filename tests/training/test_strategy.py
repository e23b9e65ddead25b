"""How replicas share a batch."""

import pytest

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.training.strategy import check_shares


@pytest.mark.parametrize("num_replicas", [1, 2, 3, 6, 9, 18])
def test_divisors_of_p_share_whole_identities(num_replicas):
    check_shares(Config(), num_replicas)


def test_others_are_refused_with_the_next_number_that_works():
    with pytest.raises(UserError, match=r"identities_per_batch=18 .* 4 replicas.* e.g. 20"):
        check_shares(Config(), 4)
