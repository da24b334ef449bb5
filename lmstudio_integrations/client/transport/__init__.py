"""What runs on the I/O thread: sockets, the calls on them, and the one flow that carries out a request."""
