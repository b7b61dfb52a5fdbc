"""Settings of all tests."""

from hypothesis import settings

from tests.support.examples import examples

# How long an example takes says more about the machine than about the code.
settings.register_profile("psastream", deadline=None, max_examples=examples(60))
settings.load_profile("psastream")
