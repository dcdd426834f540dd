"""A bundle behind HTTP: micro-batches, limits, a page. Research software, not a medical device."""
