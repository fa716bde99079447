"""What composes the loops into processes: so far, who publishes the ticks of the beat process."""
