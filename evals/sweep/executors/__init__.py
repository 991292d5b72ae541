"""Where the runs of a sweep are executed: executors behind one small protocol, `job.Executor`."""
