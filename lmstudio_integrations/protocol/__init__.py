"""LM Studio's WebSocket protocol as data, for client and emulator: no I/O, no state. Import from the modules."""
