"""Networks of one's own: a loop that knows no task, and the tasks."""
