"""Questions asked after a sweep, one file each."""
