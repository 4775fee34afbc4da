import pytest

pytest.register_assert_rewrite("tests.train.equivalence")  # its failed comparisons show their values
