"""The real `openai` and `anthropic` packages against answers that a test plays: agent_clients.py URL.

The model's words come in the order of ANSWERS in crates/coordinator/src/api/openai/tests/python.rs, one for each request.
"""

import json
import sys

import anthropic
import openai
from anthropic import Anthropic
from openai import OpenAI

MODEL = "thinks"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": CITY}
QUESTION = {"role": "user", "content": "Is it warm in Rome and Oslo?"}
ROME, OSLO = {"city": "Rome"}, {"city": "Oslo"}


def chat_round_trip(client):
    tools = [{"type": "function", "function": FUNCTION}]
    first = client.chat.completions.create(model=MODEL, messages=[QUESTION], tools=tools)
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content == "I look.", choice
    assert choice.message.reasoning_content == "Two cities.", choice.message
    assert first.usage.completion_tokens_details.reasoning_tokens > 2, first.usage
    calls = choice.message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [ROME, OSLO], calls
    assert {call.function.name for call in calls} == {"weather"} and len({call.id for call in calls}) == 2, calls
    results = [{"role": "tool", "tool_call_id": call.id, "content": "warm"} for call in calls]
    second = client.chat.completions.create(model=MODEL, messages=[QUESTION, choice.message, *results], tools=tools)
    assert second.choices[0].message.content == "Warm in both.", second
    assert second.choices[0].finish_reason == "stop" and not second.choices[0].message.tool_calls, second


def chat_stream(client):
    tools = [{"type": "function", "function": FUNCTION}]
    with client.chat.completions.stream(model=MODEL, messages=[QUESTION], tools=tools) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert message.content == "I look.", message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [ROME, OSLO], message


def responses_round_trip(client):
    tools = [{"type": "function", **FUNCTION, "strict": False}, {"type": "web_search"}]
    first = client.responses.create(model=MODEL, input=QUESTION["content"], tools=tools)
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call", "function_call"], first
    assert first.output_text == "I look." and first.status == "completed", first
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [ROME, OSLO], calls
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "warm"} for call in calls]
    second = client.responses.create(model=MODEL, previous_response_id=first.id, input=results, tools=tools)
    assert second.output_text == "Warm in both." and second.previous_response_id == first.id, second


def responses_stream(client):
    tools = [{"type": "function", **FUNCTION, "strict": False}]
    with client.responses.stream(model=MODEL, input=QUESTION["content"], tools=tools) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    assert final.output_text == "I look." and len(final.output) == 4, final


def messages_round_trip(client):
    tools = [{"name": "weather", "description": "The weather.", "input_schema": CITY}]
    asked = {"model": MODEL, "max_tokens": 500, "tools": tools}
    first = client.messages.create(messages=[QUESTION], **asked)
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"], first
    assert first.stop_reason == "tool_use" and first.content[0].thinking == "Two cities.", first
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [ROME, OSLO], calls
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "warm"} for call in calls]
    turns = [QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = client.messages.create(messages=turns, **asked)
    assert second.content[0].text == "Warm in both." and second.stop_reason == "end_turn", second


def messages_stream(client):
    tools = [{"name": "weather", "description": "The weather.", "input_schema": CITY}]
    with client.messages.stream(model=MODEL, max_tokens=500, messages=[QUESTION], tools=tools) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "I look.", text
    assert [block.input for block in final.content if block.type == "tool_use"] == [ROME, OSLO], final
    assert final.usage.output_tokens > 20 and final.stop_reason == "tool_use", final


def counted_and_refused(openai_client, anthropic_client):
    count = anthropic_client.messages.count_tokens(model=MODEL, messages=[QUESTION])
    assert count.input_tokens > 5, count
    for call, kind, word in [
        (lambda: anthropic_client.messages.create(model="nobody", max_tokens=9, messages=[QUESTION]),
         anthropic.NotFoundError, "nobody"),
        (lambda: anthropic_client.messages.create(model=MODEL, max_tokens=9, messages=[]),
         anthropic.BadRequestError, "messages"),
        (lambda: openai_client.responses.create(model="nobody", input="a"), openai.NotFoundError, "nobody"),
        (lambda: openai_client.responses.create(model=MODEL, input="a", previous_response_id="resp_0"),
         openai.NotFoundError, "resp_0"),
        (lambda: openai_client.chat.completions.create(model=MODEL, messages=[QUESTION], tools=[{"type": "x"}]),
         openai.BadRequestError, "tools[0].type"),
    ]:
        try:
            call()
        except kind as error:
            assert word in str(error), error
        else:
            raise AssertionError(f"no {kind.__name__}")


def main():
    (url,) = sys.argv[1:]
    with (
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as one,
        Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60) as other,
    ):
        for check in (chat_round_trip, chat_stream, responses_round_trip, responses_stream):
            check(one)
            print(f"{check.__name__}: ok", flush=True)
        for check in (messages_round_trip, messages_stream):
            check(other)
            print(f"{check.__name__}: ok", flush=True)
        counted_and_refused(one, other)
        print("counted_and_refused: ok", flush=True)


if __name__ == "__main__":
    main()
