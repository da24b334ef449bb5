"""The client: LM Studio's native protocol over WebSockets, for blocking and for awaiting code.

``session`` and ``prediction`` know the protocol and do no I/O; ``engine`` (with ``connection``, ``probe`` and
``flows``) does all of it, on one thread; ``sync`` and ``aio`` are what users hold.
"""
