"""Files of weights as they lie on disk: their headers, what a tensor's bytes mean, and their digests."""
