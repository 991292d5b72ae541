"""What a terminal shows while runs and sweeps go on."""
