"""What both ends of LM Studio's WebSocket protocol agree on: plain data, no I/O, no state.

Import from the modules: ``envelopes``, ``envelope_models``, ``auth``, ``history``, ``tools``, ``structured``,
``config``, ``config_dicts``, ``prediction``, ``models``, ``loading``, ``packets``, ``model_calls``, ``embedding``,
``files``, ``system``.
"""
