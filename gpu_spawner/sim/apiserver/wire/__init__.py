"""From bytes to objects and back: codecs, patches, quantities, printed tables."""
