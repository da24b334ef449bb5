"""What goes over the emulated wire: sockets, authentication, checks, endpoints, and the log of frames."""
