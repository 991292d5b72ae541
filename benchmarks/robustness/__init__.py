"""What is tried against layergym: wrong lines, damaged files, hostile servers, each one command."""
