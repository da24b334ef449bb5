"""Pure conversion of what is sent.

* ``tools``: tools, ``tool_choice`` and ``response_format`` -> what LM Studio is asked for
* ``config``: settings of the model and of a call -> LM Studio's configuration keys
"""
