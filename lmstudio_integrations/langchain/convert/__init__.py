"""Pure conversion between LangChain and LM Studio, both ways: no I/O, no state that outlives one prediction.

* ``history``: LangChain messages -> LM Studio's history; ``images``: image blocks -> what has to be uploaded
* ``tools``: tools, ``tool_choice`` and ``response_format`` -> what LM Studio is asked for
* ``config``: settings of the model and of a call -> LM Studio's configuration keys
* ``answer``: a whole result -> ``AIMessage``, with usage and metadata; ``text``: the same for text completion
* ``pieces``: events -> pieces of text, reasoning and tool calls; ``chunks`` and ``protocol`` make LangChain's two
  kinds of stream of them
* ``progress``: progress events -> the payload of custom events; ``blocks``: the translator behind ``content_blocks``
"""
