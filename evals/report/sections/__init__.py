"""The sections of a report, one file for each thing that is reported."""
