"""The ground floor: errors that a person can mend, and files that are written whole."""
