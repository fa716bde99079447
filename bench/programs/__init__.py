"""The programs that contestants and measures run, each as a process of its own."""
