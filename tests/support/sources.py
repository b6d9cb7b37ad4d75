"""The contract of every data source: a listing that adds up, and reads that repeat."""

from __future__ import annotations

import numpy as np

from hwnas.data.source import SPLITS, DataSource


class SourceContract:
    """Inherit it and give a fixture `source`."""

    def test_listing_is_consistent(self, source: DataSource) -> None:
        """One label, split and size per name; every name once; every class is used."""
        listing = source.listing
        n = len(listing.names)
        assert len(set(listing.names)) == n > 0
        assert listing.labels.shape == listing.given.shape == listing.sizes_bytes.shape == (n,)
        assert set(listing.labels.tolist()) == set(range(len(listing.class_names)))
        assert set(listing.given.tolist()) <= set(range(len(SPLITS)))
        assert (listing.sizes_bytes > 0).all()

    def test_natural_size_suits_the_space(self, source: DataSource) -> None:
        """A multiple of 16 that every space accepts."""
        assert source.natural_size() in range(16, 225, 16)

    def test_reads_have_the_size_asked_for_and_repeat(self, source: DataSource) -> None:
        """(c, s, s) uint8, equal at every read."""
        for size in (16, 24, 32):
            image = source.read(0, size)
            assert image.dtype == np.uint8
            assert image.shape == (source.listing.in_channels, size, size)
            assert (image == source.read(0, size)).all()

    def test_content_key_repeats_and_tells_images_apart(self, source: DataSource) -> None:
        """Equal at every call, different for images that differ."""
        last = len(source.listing.names) - 1
        assert source.content_key(0) == source.content_key(0)
        same = bool((source.read(0, 32) == source.read(last, 32)).all())
        assert (source.content_key(0) == source.content_key(last)) == same

    def test_digest_depends_on_the_list_alone(self, source: DataSource) -> None:
        """SHA-256 in hexadecimal, equal at every call."""
        assert source.listing.digest() == source.listing.digest()
        assert len(source.listing.digest()) == 64
