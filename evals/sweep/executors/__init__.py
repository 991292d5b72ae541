"""Where the runs of a sweep are executed: engines behind one small protocol, `job.Engine`."""
