//! Every field of the formats, flipped.
