"""Every arm trained and scored: what a sweep is, its folder, and what is to be run next."""
