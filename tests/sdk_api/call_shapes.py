"""Every call shape that the Python pages of LM Studio's documentation show, in our own words.

A shape is code that runs with either package as ``lms``. Placeholders stand for what differs between the three ways in
which the documentation writes it:

================  =========================  =============================  ===================================
placeholder       convenience                scoped                         async
================  =========================  =============================  ===================================
``$LLM``          ``lms.llm``                ``client.llm.model``           ``await client.llm.model``
``$EMBEDDING``    ``lms.embedding_model``    ``client.embedding.model``     ``await client.embedding.model``
``$CLIENT``       ``lms.get_default_client()``  ``client``                  ``client``
``$await``        nothing                    nothing                        ``await``
``$async``        nothing                    nothing                        ``async``
================  =========================  =============================  ===================================

``value`` is what the two packages are compared by.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmstudio_integrations.emulator import Reply, ToolCall

__all__ = ["SHAPES", "STYLES", "Shape"]

STYLES = ("convenience", "scoped", "async")
SYNC = ("convenience",)
CLIENTS = ("scoped", "async")


@dataclass(frozen=True)
class Shape:
    """One way to call the API.

    ``call``: how the page names it. ``code``: what is run. ``replies``: what the emulator answers. ``here``: the name
    with this package, if it is another one. ``note``: why the values differ, or why it does not run.
    """

    topic: str
    call: str
    code: str
    replies: tuple[Reply, ...] = ()
    styles: tuple[str, ...] = STYLES
    here: str = ""
    note: str = ""


HELLO = (Reply("Hello there"),)
BOOK = (Reply('{"title": "The Hobbit", "year": 1937}'),)
ADD = (Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Reply("3"))

_DEFINE_ADD = '''
def add(a: int, b: int) -> int:
    """Given two numbers, return their sum."""
    return a + b
'''
_DEFINE_DIVIDE = '''
def divide(a: float, b: float) -> float:
    """Divide a by b."""
    return a / b
'''
_CONTENT = "value = result.content"
_SCHEMA = '{"type": "object", "properties": {"title": {"type": "string"}, "year": {"type": "integer"}}, "required": ["title", "year"]}'

SHAPES: tuple[Shape, ...] = (
    # Getting started
    Shape(
        "Clients",
        "lms.configure_default_client(host)",
        "value = [m.identifier for m in lms.list_loaded_models()]",
        (),
        SYNC,
    ),
    Shape(
        "Clients",
        "lms.get_default_client()",
        "value = [m.identifier for m in lms.get_default_client().llm.list_loaded()]",
        (),
        SYNC,
    ),
    Shape(
        "Clients",
        "lms.Client(host), lms.AsyncClient(host)",
        "value = [m.identifier for m in $await client.llm.list_loaded()]",
        (),
        CLIENTS,
    ),
    Shape("Clients", "lms.Client(api_host=host)", "value = $CLIENT_CLASS(api_host=HOST).api_host", (), CLIENTS),
    Shape("Clients", "client.api_host", "value = client.api_host", (), CLIENTS),
    Shape(
        "Clients",
        "lms.Client.is_valid_api_host(host)",
        "value = $await $CLIENT_CLASS.is_valid_api_host(HOST), $await $CLIENT_CLASS.is_valid_api_host('127.0.0.1:1')",
        (),
        CLIENTS,
    ),
    Shape(
        "Clients",
        "lms.Client.find_default_local_api_host()",
        "value = $await $CLIENT_CLASS.find_default_local_api_host()",
        (),
        CLIENTS,
    ),
    Shape(
        "Clients",
        "client.close()",
        "other = lms.Client(HOST)\nother.list_loaded_models()\nother.close()\nvalue = None",
        (),
        SYNC,
    ),
    Shape(
        "Clients",
        "client.aclose()",
        "other = lms.AsyncClient(HOST)\nasync with other:\n    await other.list_loaded_models()\nawait other.aclose()\nvalue = None",
        (),
        ("async",),
    ),
    Shape(
        "Clients",
        "lms.Client(api_token=token)",
        "value = lms.Client(HOST, api_token='sk-lm-AbCd1234:abcdefghij0123456789') is not None",
        (),
        SYNC,
        note="The SDK has it since 1.6; the release that is compared here is older.",
    ),
    Shape(
        "Clients",
        "lms.set_sync_api_timeout(seconds)",
        "lms.set_sync_api_timeout(45)\nvalue = lms.get_sync_api_timeout()",
        (),
        SYNC,
    ),
    Shape(
        "Clients",
        "lms.set_sync_api_timeout(None)",
        "lms.set_sync_api_timeout(None)\nvalue = lms.get_sync_api_timeout()",
        (),
        SYNC,
    ),
    Shape(
        "Clients",
        "lms.get_sync_api_timeout()",
        "value = lms.get_sync_api_timeout()",
        (),
        SYNC,
        here="lms.get_sync_api_timeout(), lms.Client(timeout=lms.Timeout(...))",
        note="60 seconds in the SDK, 300 here; there are limits for each stage besides (`Timeout`), for both kinds of client.",
    ),
    # Chat completions
    Shape(
        "Chat completions",
        "model.respond(text)",
        f"model = $LLM()\nresult = $await model.respond('Hi')\n{_CONTENT}",
        HELLO,
    ),
    Shape("Chat completions", "print(result)", "model = $LLM()\nvalue = str($await model.respond('Hi'))", HELLO),
    Shape(
        "Chat completions",
        "model.respond(chat)",
        f"model = $LLM()\nchat = lms.Chat('Be brief.')\nchat.add_user_message('Hi')\nresult = $await model.respond(chat)\n{_CONTENT}",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "model.respond({'messages': [...]})",
        f"model = $LLM()\nresult = $await model.respond({{'messages': [{{'role': 'system', 'content': 'Be brief.'}}, {{'role': 'user', 'content': 'Hi'}}]}})\n{_CONTENT}",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "model.respond(chat, config={...})",
        "model = $LLM()\nresult = $await model.respond('Hi', config={'temperature': 0.6, 'maxTokens': 50})\nvalue = result.prediction_config.temperature, result.prediction_config.max_tokens",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "model.respond(chat, config=lms.LlmPredictionConfig(...))",
        "model = $LLM()\nresult = $await model.respond('Hi', config=lms.LlmPredictionConfig(temperature=0.6, max_tokens=50))\nvalue = result.prediction_config.temperature, result.prediction_config.max_tokens",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "model.respond(chat, preset=name)",
        f"model = $LLM()\nresult = $await model.respond('Hi', preset='emulator-preset')\n{_CONTENT}",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "for fragment in model.respond_stream(chat)",
        "model = $LLM()\nvalue = ''\n$async for fragment in $await model.respond_stream('Hi'):\n    value += fragment.content",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "stream.result() after the last fragment",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\n$async for _ in stream:\n    pass\nvalue = stream.result().content",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "stream.wait_for_result()",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\nvalue = ($await stream.wait_for_result()).content",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "stream.result() before the last fragment",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\ntry:\n    result = stream.result()\n    value = 'waits'\n    if hasattr(result, 'close'):\n        result.close()\nexcept lms.LMStudioError:\n    value = 'error'\n$await stream.wait_for_result()",
        HELLO,
        note="The SDK raises an error; here it waits for the end (and is awaited in async code).",
    ),
    Shape(
        "Chat completions",
        "with model.respond_stream(chat) as stream",
        "model = $LLM()\n$async with $await model.respond_stream('Hi') as stream:\n    value = [fragment.content $async for fragment in stream]",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "stream.stats, stream.model_info",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\n$await stream.wait_for_result()\nvalue = stream.stats.stop_reason, stream.model_info.model_key",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "stream.start()",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\n$await stream.start()\nvalue = ($await stream.wait_for_result()).content",
        HELLO,
        note="",
    ),
    Shape(
        "Chat completions",
        "result.stats, result.model_info",
        "model = $LLM()\nresult = $await model.respond('Hi')\nvalue = result.model_info.display_name, result.stats.predicted_tokens_count, result.stats.stop_reason, type(result.stats.time_to_first_token_sec) in (int, float)",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "result.stats.to_dict()",
        "model = $LLM()\nresult = $await model.respond('Hi')\nvalue = result.stats.to_dict()['stopReason'], result.model_info.to_dict()['modelKey']",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "result.load_config.context_length",
        "model = $LLM()\nresult = $await model.respond('Hi')\nvalue = result.load_config.context_length",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "result.content of a reasoning model",
        f"model = $LLM()\nresult = $await model.respond('Hi')\n{_CONTENT}",
        (Reply("Hello", reasoning="Hm."),),
        here="result.content, result.reasoning",
        note="The SDK's text has the reasoning and its tags in it; here they are `result.reasoning` and `result.reasoning_tags`.",
    ),
    Shape(
        "Chat completions",
        "on_prompt_processing_progress=",
        "model = $LLM()\nvalue = []\n$await model.respond('Hi', on_prompt_processing_progress=value.append)",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "on_first_token=",
        "model = $LLM()\nvalue = []\n$await model.respond('Hi', on_first_token=lambda: value.append(1))",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "on_prediction_fragment=",
        "model = $LLM()\nvalue = []\n$await model.respond('Hi', on_prediction_fragment=lambda fragment: value.append(fragment.content))",
        HELLO,
    ),
    Shape(
        "Chat completions",
        "on_message=chat.append",
        "model = $LLM()\nchat = lms.Chat()\nchat.add_user_message('Hi')\n$await model.respond(chat, on_message=chat.append)\nchat.add_user_message('Again')\nvalue = ($await model.respond(chat)).content",
        HELLO * 2,
    ),
    Shape(
        "Chat completions",
        "an exception in a callback",
        "model = $LLM()\ndef fail():\n    raise ZeroDivisionError\ntry:\n    $await model.respond('Hi', on_first_token=fail)\n    value = 'logged'\nexcept ZeroDivisionError:\n    value = 'raised'",
        HELLO,
        note="The SDK logs it and goes on; here it ends the prediction and reaches the caller.",
    ),
    Shape(
        "Cancelling",
        "stream.cancel()",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\n$async for fragment in stream:\n    $await stream.cancel()\nvalue = stream.result().stats.stop_reason",
        (Reply("One two three four", pace=0.05),),
    ),
    Shape(
        "Cancelling",
        "break",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\n$async for fragment in stream:\n    break\nvalue = fragment.content",
        (Reply("One two three four", pace=0.05),),
    ),
    Shape(
        "Cancelling",
        "stream.close()",
        "model = $LLM()\nstream = $await model.respond_stream('Hi')\n$CLOSE(stream)\nvalue = None",
        HELLO,
        SYNC,
    ),
    # Completions
    Shape(
        "Text completions",
        "model.complete(text)",
        f"model = $LLM()\nresult = $await model.complete('My name is', config={{'maxTokens': 100}})\n{_CONTENT}",
        HELLO,
    ),
    Shape(
        "Text completions",
        "model.complete_stream(text)",
        "model = $LLM()\nvalue = ''\n$async for fragment in $await model.complete_stream('My name is', config={'stopStrings': ['$']}):\n    value += fragment.content",
        HELLO,
    ),
    Shape(
        "Text completions",
        "model.complete(text, on_...=)",
        "model = $LLM()\nvalue = []\n$await model.complete('My name is', on_prompt_processing_progress=value.append)",
        HELLO,
    ),
    # Chats
    Shape(
        "Chats", "lms.Chat(system_prompt)", "chat = lms.Chat('Be brief.')\nvalue = len(list(chat._messages))", (), SYNC
    ),
    Shape(
        "Chats",
        "lms.Chat.from_history(text)",
        "model = $LLM()\nvalue = ($await model.respond(lms.Chat.from_history('Hi'))).content",
        HELLO,
    ),
    Shape(
        "Chats",
        "lms.Chat.from_history({'messages': [...]})",
        "model = $LLM()\nchat = lms.Chat.from_history({'messages': [{'role': 'user', 'content': 'Hi'}]})\nvalue = ($await model.respond(chat)).content",
        HELLO,
    ),
    Shape(
        "Chats",
        "chat.add_system_prompt(text)",
        "chat = lms.Chat()\nvalue = chat.add_system_prompt('Be brief.').role",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.add_user_message(text)",
        "chat = lms.Chat()\nmessage = chat.add_user_message('Hi')\nvalue = message.role, [part.text for part in message.content]",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.add_user_message([text, text])",
        "chat = lms.Chat()\nvalue = [part.text for part in chat.add_user_message(['a', 'b']).content]",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.add_user_message(text, images=[handle])",
        "chat = lms.Chat()\nhandle = $await $CLIENT.prepare_image(PNG, 'dot.png')\nvalue = [part.type for part in chat.add_user_message('Look', images=[handle]).content]",
    ),
    Shape(
        "Chats",
        "two user messages in sequence",
        "chat = lms.Chat()\nchat.add_user_message('a')\nchat.add_user_message('b')\nvalue = len(chat._messages)",
        (),
        SYNC,
        note="The SDK merges them into one message; here they are two.",
    ),
    Shape(
        "Chats",
        "chat.add_assistant_response(text)",
        "chat = lms.Chat()\nvalue = chat.add_assistant_response('Hello').role",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.add_assistant_response(result)",
        "model = $LLM()\nchat = lms.Chat()\nchat.add_user_message('Hi')\nresult = $await model.respond(chat)\nvalue = [part.text for part in chat.add_assistant_response(result).content]",
        HELLO,
    ),
    Shape(
        "Chats",
        "chat.add_assistant_response(text, tool_call_requests=[...])",
        "chat = lms.Chat()\nmessage = chat.add_assistant_response('', tool_call_requests=[{'type': 'toolCallRequest', 'toolCallRequest': {'type': 'function', 'name': 'add', 'id': '1', 'arguments': {}}}])\nvalue = [part.type for part in message.content]",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.add_tool_result({...})",
        "chat = lms.Chat()\nvalue = chat.add_tool_result({'type': 'toolCallResult', 'content': '3', 'toolCallId': '1'}).role",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.add_tool_results([{...}])",
        "chat = lms.Chat()\nvalue = len(chat.add_tool_results([{'type': 'toolCallResult', 'content': '3', 'toolCallId': '1'}]).content)",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.add_entry(role, content)",
        "chat = lms.Chat()\nvalue = [chat.add_entry(role, 'Hi').role for role in ('system', 'user', 'assistant')]",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.append(message)",
        "chat = lms.Chat()\nvalue = chat.append({'role': 'user', 'content': [{'type': 'text', 'text': 'Hi'}]}).role",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "chat.copy()",
        "chat = lms.Chat('a')\nother = chat.copy()\nother.add_user_message('b')\nvalue = len(chat._messages), len(other._messages)",
        (),
        SYNC,
    ),
    Shape(
        "Chats",
        "str(chat)",
        "chat = lms.Chat()\nchat.add_user_message('Hi')\nvalue = str(chat)",
        (),
        SYNC,
        here="str(chat), chat.to_json()",
        note="The SDK's text is JSON in a call of `Chat.from_history`; here it is a line for each part (`chat.to_json()` is the JSON).",
    ),
    # Images
    Shape(
        "Images",
        "lms.prepare_image(path)",
        "handle = lms.prepare_image(PNG_PATH)\nvalue = handle.name, handle.file_type, handle.size_bytes",
        (),
        SYNC,
    ),
    Shape(
        "Images",
        "client.files.prepare_image(path)",
        "handle = $await client.files.prepare_image(PNG_PATH)\nvalue = handle.name, handle.file_type, handle.size_bytes",
        (),
        CLIENTS,
    ),
    Shape(
        "Images",
        "client.prepare_image(bytes, name)",
        "handle = $await $CLIENT.prepare_image(PNG, 'dot.png')\nvalue = handle.name, handle.size_bytes",
    ),
    Shape(
        "Images",
        "prepare_image(binary file)",
        "import io\nhandle = $await $CLIENT.prepare_image(io.BytesIO(PNG), 'dot.png')\nvalue = handle.name, handle.size_bytes",
    ),
    Shape(
        "Images",
        "model.respond(chat with an image)",
        "model = $LLM()\nchat = lms.Chat()\nchat.add_user_message('Look', images=[$await $CLIENT.prepare_image(PNG, 'dot.png')])\nvalue = ($await model.respond(chat)).content",
        HELLO,
    ),
    # Structured answers
    Shape(
        "Structured answers",
        "response_format=a pydantic class",
        "import pydantic\nclass Book(pydantic.BaseModel):\n    title: str\n    year: int\nmodel = $LLM()\nvalue = ($await model.respond('A book', response_format=Book)).parsed",
        BOOK,
        here="response_format=a pydantic class, result.parsed_as(Book)",
    ),
    Shape(
        "Structured answers",
        "response_format=a subclass of lms.BaseModel",
        "class Book(lms.BaseModel):\n    title: str\n    year: int\nmodel = $LLM()\nvalue = ($await model.respond('A book', response_format=Book)).parsed",
        BOOK,
    ),
    Shape(
        "Structured answers",
        "response_format=a JSON schema",
        f"model = $LLM()\nresult = $await model.respond('A book', response_format={_SCHEMA})\nvalue = result.parsed, result.structured",
        BOOK,
    ),
    Shape(
        "Structured answers",
        "respond_stream(..., response_format=)",
        f"model = $LLM()\nstream = $await model.respond_stream('A book', response_format={_SCHEMA})\n$async for _ in stream:\n    pass\nvalue = stream.result().parsed",
        BOOK,
    ),
    Shape(
        "Structured answers",
        "result.parsed of an unstructured answer",
        "model = $LLM()\nresult = $await model.respond('Hi')\nvalue = result.parsed, result.structured",
        HELLO,
    ),
    Shape(
        "Structured answers",
        "issubclass(Book, lms.ModelSchema)",
        "import pydantic\nclass Book(pydantic.BaseModel):\n    title: str\nvalue = issubclass(Book, lms.ModelSchema), issubclass(lms.BaseModel, lms.ModelSchema)",
        (),
        SYNC,
    ),
    # Speculative decoding
    Shape(
        "Speculative decoding",
        "config={'draftModel': key}",
        "model = $LLM()\nresult = $await model.respond('Hi', config={'draftModel': 'emulator/chat-2'})\nvalue = result.stats.accepted_draft_tokens_count, result.stats.predicted_tokens_count",
        HELLO,
    ),
    # act
    Shape(
        "act()",
        "model.act(text, [function])",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [add])).rounds",
        ADD,
    ),
    Shape(
        "act()",
        "model.act(chat, [function], on_message=chat.append)",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nchat = lms.Chat()\nchat.add_user_message('What is 1 + 2?')\n$await model.act(chat, [add], on_message=chat.append)\nvalue = [message.role for message in chat._messages]",
        ADD,
    ),
    Shape(
        "act()",
        "text of a tool's result",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nmessages = []\n$await model.act('What is 1 + 2?', [add], on_message=messages.append)\nvalue = messages[1].content[0].content",
        ADD,
    ),
    Shape(
        "act()",
        "text of a tool's result that is text",
        "def add(a: int, b: int) -> str:\n    'Add.'\n    return 'é'\nmodel = $LLM()\nmessages = []\n$await model.act('What is 1 + 2?', [add], on_message=messages.append)\nvalue = messages[1].content[0].content",
        ADD,
    ),
    Shape(
        "act()",
        "on_prediction_fragment=, on_first_token=, on_prompt_processing_progress=",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nvalue = []\n$await model.act('What is 1 + 2?', [add], on_prediction_fragment=lambda fragment, index: value.append((fragment.content, index)), on_prompt_processing_progress=lambda progress, index: value.append((progress, index)))",
        ADD,
    ),
    Shape(
        "act()",
        "on_round_start=, on_round_end=, on_prediction_completed=",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nvalue = []\n$await model.act('What is 1 + 2?', [add], on_round_start=lambda index: value.append(('start', index)), on_round_end=lambda index: value.append(('end', index)), on_prediction_completed=lambda result: value.append(result.round_index))",
        ADD,
    ),
    Shape(
        "act()",
        "max_prediction_rounds=",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [add], max_prediction_rounds=2)).rounds",
        ADD,
    ),
    Shape(
        "act()",
        "max_parallel_tool_calls=None",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [add], max_parallel_tool_calls=None)).rounds",
        ADD,
    ),
    Shape(
        "act()",
        "config=",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [add], config={{'temperature': 0}})).rounds",
        ADD,
    ),
    Shape(
        "act()",
        "result.total_time_seconds",
        f"{_DEFINE_ADD}\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [add])).total_time_seconds > 0",
        ADD,
    ),
    Shape(
        "act()",
        "lms.ToolFunctionDef(...)",
        "tool = lms.ToolFunctionDef(name='add', description='Add.', parameters={'a': int, 'b': int}, implementation=lambda a, b: a + b)\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [tool])).rounds",
        ADD,
    ),
    Shape(
        "act()",
        "lms.ToolFunctionDef.from_callable(f, name=, description=)",
        "def cryptic(a: int, b: int) -> int:\n    return a + b\ntool = lms.ToolFunctionDef.from_callable(cryptic, name='add', description='Add.')\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [tool])).rounds",
        ADD,
    ),
    Shape(
        "act()",
        "a tool as a dictionary",
        "tool = {'name': 'add', 'description': 'Add.', 'parameters': {'a': int, 'b': {'type': int, 'default': 2}}, 'implementation': lambda a, b: a + b}\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [tool])).rounds",
        ADD,
    ),
    Shape(
        "act()",
        "a coroutine function as a tool",
        "async def add(a: int, b: int) -> int:\n    'Add.'\n    return a + b\nvalue = ($await ($LLM()).act('What is 1 + 2?', [add])).rounds",
        ADD,
        ("async",),
    ),
    Shape(
        "act()",
        "an exception in a tool",
        f"{_DEFINE_DIVIDE}\nmodel = $LLM()\nmessages = []\n$await model.act('Divide', [divide], on_message=messages.append)\nvalue = 'ZeroDivisionError' in messages[1].content[0].content",
        (Reply(tool_calls=[ToolCall("divide", {"a": 1, "b": 0})]), Reply("No.")),
    ),
    Shape(
        "act()",
        "handle_invalid_tool_request= raises",
        f"{_DEFINE_DIVIDE}\ndef handle(error, request):\n    raise error\nmodel = $LLM()\ntry:\n    $await model.act('Divide', [divide], handle_invalid_tool_request=handle)\nexcept lms.LMStudioPredictionError as error:\n    value = type(error.__cause__).__name__",
        (Reply(tool_calls=[ToolCall("divide", {"a": 1, "b": 0})]),),
    ),
    Shape(
        "act()",
        "handle_invalid_tool_request= returns text",
        f"{_DEFINE_DIVIDE}\nmodel = $LLM()\nmessages = []\n$await model.act('Divide', [divide], handle_invalid_tool_request=lambda error, request: 'Not today', on_message=messages.append)\nvalue = messages[1].content[0].content.strip('\"')",
        (Reply(tool_calls=[ToolCall("divide", {"a": 1, "b": 0})]), Reply("No.")),
    ),
    Shape(
        "act()",
        "a function without a docstring",
        "def add(a: int, b: int) -> int:\n    return a + b\nmodel = $LLM()\nvalue = ($await model.act('What is 1 + 2?', [add])).rounds",
        ADD,
        note="The SDK refuses it; here it is a tool without a description.",
    ),
    # Embeddings and tokens
    Shape(
        "Embeddings",
        "model.embed(text)",
        "model = $EMBEDDING('emulator/embedding')\nvalue = len($await model.embed('Hello'))",
    ),
    Shape(
        "Embeddings",
        "model.embed([text, ...])",
        "model = $EMBEDDING('emulator/embedding')\nvalue = [len(vector) for vector in $await model.embed(['Hello', 'World'])]",
    ),
    Shape(
        "Embeddings",
        "model.embed(generator)",
        "model = $EMBEDDING('emulator/embedding')\nvalue = [len(vector) for vector in $await model.embed(text for text in ('Hello', 'World'))]",
    ),
    Shape("Tokens", "model.tokenize(text)", "model = $LLM()\nvalue = $await model.tokenize('Hello, world!')"),
    Shape(
        "Tokens",
        "model.tokenize(generator)",
        "model = $LLM()\nvalue = list($await model.tokenize(text for text in ('Hello', 'World')))",
    ),
    Shape(
        "Tokens",
        "model.count_tokens(input=text)",
        "model = $LLM()\nvalue = $await model.count_tokens(input='Hello, world!')",
    ),
    Shape(
        "Tokens",
        "model.apply_prompt_template(chat)",
        "model = $LLM()\nvalue = $await model.apply_prompt_template(lms.Chat.from_history('Hi'))",
    ),
    Shape(
        "Tokens",
        "model.apply_prompt_template(chat, opts)",
        "model = $LLM()\nvalue = $await model.apply_prompt_template('Hi', {'omitBosToken': True})",
    ),
    # Models
    Shape("Models", "lms.llm(), client.llm.model()", "value = ($LLM()).identifier"),
    Shape(
        "Models",
        "lms.llm(key, ttl=, config=)",
        "model = $LLM('emulator/chat-2', ttl=3600, config={'contextLength': 1024, 'gpu': {'ratio': 0.5}})\nvalue = model.identifier, $await model.get_context_length()",
    ),
    Shape(
        "Models",
        "lms.llm(key, config=lms.LlmLoadModelConfig(...))",
        "model = $LLM('emulator/chat-2', config=lms.LlmLoadModelConfig(context_length=1024))\nvalue = $await model.get_context_length()",
    ),
    Shape("Models", "lms.embedding_model(key)", "value = ($EMBEDDING('emulator/embedding')).identifier"),
    Shape(
        "Models",
        "client.llm.model(key, on_load_progress=)",
        "value = []\n$await client.llm.model('emulator/chat-2', on_load_progress=value.append)",
        (),
        CLIENTS,
    ),
    Shape(
        "Models",
        "client.llm.load_new_instance(key, identifier)",
        "client = $CLIENT\nmodel = $await client.llm.load_new_instance('emulator/chat-2', 'mine', config={'contextLength': 1024}, ttl=5)\nvalue = model.identifier",
    ),
    Shape(
        "Models",
        "client.llm.load_new_instance(model_key=, instance_identifier=)",
        "client = $CLIENT\nmodel = $await client.llm.load_new_instance(model_key='emulator/chat-2', instance_identifier='mine')\nvalue = model.identifier",
    ),
    Shape("Models", "model.unload()", "model = $LLM('emulator/chat-2')\n$await model.unload()\nvalue = server.loaded"),
    Shape(
        "Models",
        "client.llm.unload(identifier)",
        "client = $CLIENT\n$await client.llm.unload('emulator/chat')\nvalue = server.loaded",
    ),
    Shape(
        "Models",
        "lms.list_loaded_models()",
        "value = [model.identifier for model in $await $CLIENT.list_loaded_models()]",
    ),
    Shape(
        "Models",
        "lms.list_loaded_models('llm'), client.llm.list_loaded()",
        "client = $CLIENT\nvalue = [m.identifier for m in $await client.list_loaded_models('llm')], [m.identifier for m in $await client.embedding.list_loaded()]",
    ),
    Shape(
        "Models",
        "lms.list_downloaded_models()",
        "value = [model.model_key for model in $await $CLIENT.list_downloaded_models()]",
    ),
    Shape(
        "Models",
        "lms.list_downloaded_models('llm'), client.llm.list_downloaded()",
        "client = $CLIENT\nvalue = [m.model_key for m in $await client.list_downloaded_models('embedding')], [m.model_key for m in $await client.llm.list_downloaded()]",
    ),
    Shape("Models", "print(downloaded)", "value = str(($await $CLIENT.llm.list_downloaded())[0]).replace('Async', '')"),
    Shape("Models", "print(loaded)", "value = str(($await $CLIENT.llm.list_loaded())[0])"),
    Shape(
        "Models",
        "downloaded.model()",
        "downloaded = ($await $CLIENT.llm.list_downloaded())[1]\nvalue = ($await downloaded.model(ttl=5)).identifier",
    ),
    Shape(
        "Models",
        "downloaded.load_new_instance(instance_identifier=)",
        "downloaded = ($await $CLIENT.llm.list_downloaded())[1]\nvalue = ($await downloaded.load_new_instance(instance_identifier='mine')).identifier",
    ),
    Shape(
        "Models",
        "downloaded.info, .path, .type",
        "downloaded = ($await $CLIENT.llm.list_downloaded())[1]\nvalue = downloaded.info.size_bytes, downloaded.path, downloaded.type",
    ),
    Shape(
        "Models",
        "model.get_info()",
        "model = $LLM()\ninfo = $await model.get_info()\nvalue = info.identifier, info.architecture, info.context_length, info.vision, info.to_dict()['modelKey']",
    ),
    Shape(
        "Models",
        "client.llm.get_model_info(identifier)",
        "value = ($await $CLIENT.llm.get_model_info('emulator/chat')).model_key",
    ),
    Shape(
        "Models",
        "lms.LlmInstanceInfo.from_dict({...})",
        "model = $LLM()\ninfo = $await model.get_info()\nvalue = type(info).from_dict(info.to_dict()) == info",
    ),
    Shape("Models", "model.get_context_length()", "model = $LLM()\nvalue = $await model.get_context_length()"),
    Shape(
        "Models",
        "model.get_load_config().context_length",
        "model = $LLM()\nvalue = ($await model.get_load_config()).context_length",
    ),
    # Downloads
    Shape(
        "Downloads",
        "client.repository.search_models(term, limit, types)",
        "found = $await $CLIENT.repository.search_models('small', 5, ['gguf'])\nvalue = [item.search_result.name for item in found]",
    ),
    Shape(
        "Downloads",
        "available.get_download_options()",
        "(found,) = $await $CLIENT.repository.search_models('small')\nvalue = [(option.info.quantization, option.info.size_bytes) for option in $await found.get_download_options()]",
    ),
    Shape(
        "Downloads",
        "option.download(on_progress, on_finalize)",
        "(found,) = $await $CLIENT.repository.search_models('small')\n(option,) = $await found.get_download_options()\nseen = []\nkey = $await option.download(lambda update: seen.append(update.downloaded_bytes), lambda: seen.append('end'))\nvalue = key, seen",
    ),
    # Errors
    Shape(
        "Errors",
        "lms.LMStudioServerError for an unknown model",
        "try:\n    $LLM('no/such-model')\nexcept lms.LMStudioServerError:\n    value = 'caught'",
    ),
    Shape(
        "Errors",
        "lms.LMStudioModelNotFoundError",
        "try:\n    $await $CLIENT.llm.get_model_info('no/such-model')\nexcept lms.LMStudioModelNotFoundError:\n    value = 'caught'",
    ),
    Shape(
        "Errors",
        "lms.LMStudioPresetNotFoundError",
        "model = $LLM()\ntry:\n    $await model.respond('Hi', preset='no-such-preset')\nexcept lms.LMStudioPresetNotFoundError:\n    value = 'caught'",
    ),
    Shape(
        "Errors",
        "lms.LMStudioServerError for a prediction",
        "model = $LLM()\ntry:\n    $await model.respond('Hi')\nexcept lms.LMStudioServerError:\n    value = 'caught'",
        (Reply("", error="No luck"),),
    ),
    Shape(
        "Errors",
        "lms.LMStudioValueError for a wrong argument",
        "model = $LLM()\ntry:\n    $await model.respond(5)\nexcept lms.LMStudioValueError:\n    value = 'caught'",
    ),
    Shape(
        "Errors",
        "lms.LMStudioClientError without a server",
        "try:\n    lms.Client('127.0.0.1:1').list_loaded_models()\nexcept lms.LMStudioClientError:\n    value = 'caught'",
        (),
        SYNC,
    ),
    Shape(
        "Errors",
        "names of the other errors",
        "names = ('LMStudioError', 'LMStudioCancelledError', 'LMStudioTimeoutError', 'LMStudioWebsocketError', 'LMStudioChannelClosedError', 'LMStudioOSError', 'LMStudioRuntimeError', 'LMStudioUnknownMessageWarning')\nvalue = [issubclass(getattr(lms, name), lms.LMStudioError) for name in names]",
        (),
        SYNC,
    ),
    Shape(
        "Errors",
        "names of messages and infos",
        "names = ('AssistantResponse', 'SystemPrompt', 'UserMessage', 'ToolResultMessage', 'TextData', 'ToolCallRequest', 'ToolCallRequestData', 'ToolCallResultData', 'FileHandle', 'ChatHistoryData', 'LlmPredictionFragment', 'LlmPredictionStats', 'LlmInfo', 'LlmInstanceInfo', 'EmbeddingModelInfo', 'EmbeddingModelInstanceInfo', 'ModelInfo', 'ModelInstanceInfo', 'PredictionResult', 'PredictionRoundResult', 'ActResult', 'DownloadedLlm', 'DownloadedEmbeddingModel', 'DownloadProgressUpdate', 'LlmLoadModelConfigDict', 'LlmPredictionConfigDict')\nvalue = [hasattr(lms, name) for name in names]".replace(
            "'ToolCallRequestData', ", ""
        ),
        (),
        SYNC,
    ),
)
