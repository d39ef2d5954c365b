"""What reading faces costs on this machine: stages, whole processes, and the machine's own peak; light install only."""
