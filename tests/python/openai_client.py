"""The real `openai` and `anthropic` packages against a coordinator: openai_client.py URL [everything|rate_limit].

The answers are the demo model's greedy ones, so they are known word for word.
"""

import asyncio
import json
import re
import sys
from typing import Literal

import anthropic
import openai
from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "demo"
CAPITAL = "What is the capital of Japan?"
TOKYO = "The capital of Japan is Tokyo."
STORY = "Tell me a story about Mia and a lantern."


def user(text):
    return [{"role": "user", "content": text}]


def ask(client, text, **options):
    return client.chat.completions.create(model=MODEL, messages=user(text), **{"temperature": 0, **options})


def text_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def raises(kind, status, call, *words):
    """The error of that class and status, whose message has the words."""
    try:
        call()
    except kind as error:
        assert error.status_code == status, error
        assert isinstance(error.body, dict) and error.body["type"], error.body
        for word in words:
            assert word in error.message, (word, error.message)
        return error
    raise AssertionError(f"no {kind.__name__} for {words}")


def models(client):
    listed = list(client.models.list())
    assert [model.id for model in listed] == [MODEL], listed
    assert listed[0].object == "model" and listed[0].created > 1_700_000_000, listed
    assert client.models.retrieve(MODEL).id == MODEL
    raises(openai.NotFoundError, 404, lambda: client.models.retrieve("nobody"), "nobody")


def chat_whole(client):
    answer = ask(client, CAPITAL)
    assert answer.object == "chat.completion" and answer.model == MODEL, answer
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content == TOKYO, choice
    assert choice.finish_reason == "stop" and choice.index == 0, choice
    usage = answer.usage
    assert usage.prompt_tokens == 15 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


def chat_streamed(client):
    chunks = list(ask(client, CAPITAL, stream=True, stream_options={"include_usage": True}))
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    assert text_of(chunks) == TOKYO, chunks
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert reasons == ["stop"], reasons
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage.prompt_tokens == 15, chunks[-1]
    # Unasked, nobody counts.
    assert all(chunk.usage is None for chunk in ask(client, CAPITAL, stream=True))


def chat_helper(client):
    with client.chat.completions.stream(model=MODEL, messages=user(CAPITAL), temperature=0) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == TOKYO


def several_choices(client):
    answer = ask(client, CAPITAL, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1], answer
    assert all(choice.message.content == TOKYO for choice in answer.choices), answer
    varied = ask(client, STORY, n=4, temperature=1.3, seed=11, max_tokens=40)
    assert len({choice.message.content for choice in varied.choices}) > 1, varied
    pieces = {0: "", 1: ""}
    for chunk in ask(client, CAPITAL, n=2, stream=True):
        for choice in chunk.choices:
            pieces[choice.index] += choice.delta.content or ""
    assert pieces == {0: TOKYO, 1: TOKYO}, pieces


def stop_strings(client):
    # Within a token, over several tokens, the first of several, one that never comes.
    for stop, expected in [
        ("Tokyo", "The capital of Japan is "),
        ("tal of Ja", "The capi"),
        (["nowhere", " is "], "The capital of Japan"),
        (["nowhere"], TOKYO),
    ]:
        answer = ask(client, CAPITAL, stop=stop).choices[0]
        assert answer.message.content == expected, (stop, answer)
        assert answer.finish_reason == "stop", answer
        assert text_of(ask(client, CAPITAL, stop=stop, stream=True)) == expected, stop


def lengths(client):
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        answer = ask(client, STORY, **limit)
        assert answer.choices[0].finish_reason == "length", answer
        assert answer.usage.completion_tokens == 5, answer.usage


def seeds(client):
    def told(seed):
        return ask(client, STORY, temperature=1.2, top_p=0.95, seed=seed, max_tokens=60).choices[0].message.content

    assert told(1234) == told(1234)
    assert len({told(seed) for seed in range(4)}) > 1
    streamed = text_of(ask(client, STORY, temperature=1.2, top_p=0.95, seed=1234, max_tokens=60, stream=True))
    assert streamed == told(1234)


def log_probabilities(client):
    answer = ask(client, CAPITAL, logprobs=True, top_logprobs=3).choices[0]
    tokens = answer.logprobs.content
    assert "".join(token.token for token in tokens) == TOKYO, tokens
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3, token
        assert bytes(token.bytes).decode() == token.token, token
        # Greedy: the chosen one is the most likely one.
        assert token.top_logprobs[0].token == token.token, token
        assert abs(token.top_logprobs[0].logprob - token.logprob) < 1e-4, token
        ordered = [top.logprob for top in token.top_logprobs]
        assert ordered == sorted(ordered, reverse=True), token
    assert ask(client, CAPITAL).choices[0].logprobs is None
    chunks = ask(client, CAPITAL, logprobs=True, top_logprobs=1, stream=True)
    streamed = [token for chunk in chunks for choice in chunk.choices if choice.logprobs for token in choice.logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in tokens], streamed


def penalties_and_bias(client):
    # A bias strong enough leaves no other token; 1682 is " Tokyo".
    biased = ask(client, CAPITAL, max_tokens=8, logit_bias={"1682": -100}).choices[0].message.content
    assert "Tokyo" not in biased, biased
    forced = ask(client, CAPITAL, max_tokens=3, logit_bias={"1682": 100}).choices[0].message.content
    assert forced.strip() == "Tokyo Tokyo Tokyo", forced
    ask(client, STORY, max_tokens=20, frequency_penalty=0.5, presence_penalty=0.5)


def text_completions(client):
    prompt = f"<|im_start|>user\n{CAPITAL}<|im_end|>\n<|im_start|>assistant\n"
    answer = client.completions.create(model=MODEL, prompt=prompt, max_tokens=40, temperature=0)
    assert answer.object == "text_completion" and answer.choices[0].text == TOKYO, answer
    assert answer.usage.prompt_tokens == 15, answer.usage
    stream = client.completions.create(model=MODEL, prompt=prompt, max_tokens=40, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == TOKYO
    probable = client.completions.create(model=MODEL, prompt=prompt, max_tokens=40, temperature=0, logprobs=2).choices[0]
    assert "".join(probable.logprobs.tokens) == TOKYO, probable
    assert len(probable.logprobs.token_logprobs) == len(probable.logprobs.tokens) == len(probable.logprobs.text_offset)


FORECAST = {
    "type": "object", "additionalProperties": False, "required": ["city", "days"],
    "properties": {"city": {"type": "string", "enum": ["Tokyo", "Paris"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
}  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "forecast", "description": "The weather", "parameters": FORECAST}}]


def valid(call):
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "forecast" and call.id and set(arguments) == {"city", "days"}, call
    assert arguments["city"] in ("Tokyo", "Paris") and 1 <= arguments["days"] <= 9, call


def tool_calls(client):
    # The demo model knows no tools: what it must say is the grammar's.
    for seed in range(3):
        options = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "seed": seed, "temperature": seed / 2}
        choice = client.chat.completions.create(model=MODEL, messages=user(CAPITAL), **options).choices[0]
        assert choice.finish_reason == "tool_calls" and len(choice.message.tool_calls) == 1, choice
        valid(choice.message.tool_calls[0])
        with client.chat.completions.stream(model=MODEL, messages=user(CAPITAL), **options) as stream:
            streamed = stream.get_final_completion().choices[0]
        assert streamed.finish_reason == "tool_calls", streamed
        valid(streamed.message.tool_calls[0])
    # The result goes back, and the model answers.
    call = choice.message.tool_calls[0]
    turn = [*user(CAPITAL), choice.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    further = client.chat.completions.create(model=MODEL, messages=turn, tools=TOOLS, tool_choice="none", max_tokens=8)
    assert further.usage.prompt_tokens > 40 and further.choices[0].finish_reason in ("stop", "length"), further


def responses(client):
    answer = client.responses.create(model=MODEL, input=CAPITAL, temperature=0)
    assert answer.output_text == TOKYO and answer.status == "completed", answer
    assert answer.usage.input_tokens == 15, answer.usage
    with client.responses.stream(model=MODEL, input=CAPITAL, temperature=0) as stream:
        assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == TOKYO
        assert stream.get_final_response().output_text == TOKYO
    further = client.responses.create(model=MODEL, input="Thanks.", previous_response_id=answer.id, max_output_tokens=1)
    assert further.usage.input_tokens > 25 and further.status == "incomplete", further
    asked = {"model": MODEL, "input": CAPITAL, "previous_response_id": "resp_0"}
    raises(openai.NotFoundError, 404, lambda: client.responses.create(**asked), "resp_0")


def messages(client):
    url = str(client.base_url).removesuffix("/v1/")
    with Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60) as other:
        asked = {"model": MODEL, "max_tokens": 40, "messages": user(CAPITAL), "extra_body": {"temperature": 0}}
        answer = other.messages.create(**asked)
        assert answer.content[0].text == TOKYO and answer.stop_reason == "end_turn", answer
        assert answer.usage.input_tokens == 15, answer.usage
        assert other.messages.count_tokens(model=MODEL, messages=user(CAPITAL)).input_tokens == 15
        with other.messages.stream(**asked) as stream:
            assert "".join(stream.text_stream) == TOKYO
        stopped = other.messages.create(**asked, stop_sequences=["nowhere", " is "])
        assert stopped.content[0].text == "The capital of Japan", stopped
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " is "), stopped
        going_on = [*user(CAPITAL), {"role": "assistant", "content": "The capital of Japan"}]
        assert other.messages.create(**{**asked, "messages": going_on}).content[0].text == " is Tokyo.", going_on
        raises(anthropic.NotFoundError, 404, lambda: other.messages.create(**{**asked, "model": "nobody"}), "nobody")
        raises(anthropic.BadRequestError, 400, lambda: other.messages.create(**{**asked, "messages": []}), "messages")


class Owner(BaseModel):
    """The names and values that the demo model writes of itself."""

    name: str
    age: int
    owns: Literal["dog", "cat", "kitten"]


class Words(BaseModel):
    """What it never writes of itself."""

    color: Literal["red", "green"]
    size: Literal[1, 2, 3]
    nothing: None


def structured_answers(client):
    question, leo = "Give me JSON for Leo, aged 41, who owns a kitten.", Owner(name="Leo", age=41, owns="kitten")
    options = {"model": MODEL, "temperature": 0}
    answer = client.chat.completions.parse(messages=user(question), response_format=Owner, **options)
    assert answer.choices[0].message.parsed == leo, answer
    with client.chat.completions.stream(messages=user(question), response_format=Owner, **options) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == leo
    for seed in range(3):
        answer = client.chat.completions.parse(model=MODEL, messages=user(STORY), response_format=Words, seed=seed)
        assert isinstance(answer.choices[0].message.parsed, Words), answer
    assert ask(client, CAPITAL, extra_body={"guided_choice": ["Kyoto", "Osaka"]}).choices[0].message.content in ("Kyoto", "Osaka")
    refused = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array", "contains": {"const": 1}}}}
    error = raises(openai.BadRequestError, 400, lambda: ask(client, CAPITAL, response_format=refused), "contains")
    assert error.param == "response_format", error.body


def errors(client):
    raises(openai.NotFoundError, 404, lambda: client.chat.completions.create(model="nobody", messages=user("hello")), "nobody")
    raises(openai.NotFoundError, 404, lambda: client.completions.create(model="nobody", prompt="hello"), "nobody")
    bad = openai.BadRequestError
    raises(bad, 400, lambda: ask(client, CAPITAL, temperature="hot"), "temperature")
    raises(bad, 400, lambda: ask(client, CAPITAL, n=0), "n")
    raises(bad, 400, lambda: ask(client, CAPITAL, max_tokens=-2), "max_tokens")
    raises(bad, 400, lambda: ask(client, CAPITAL, top_p=7), "top_p")
    raises(bad, 400, lambda: client.chat.completions.create(model=MODEL, messages="hello"), "messages")
    error = raises(bad, 400, lambda: ask(client, "apple river " * 1000), "1024")
    assert error.code == "context_length_exceeded", error.body
    assert any(int(number) > 2000 for number in re.findall(r"\d+", error.message)), error.message


def asynchronous(client):
    async def both():
        async with AsyncOpenAI(base_url=client.base_url, api_key="none", max_retries=0) as other:
            async def one(text):
                stream = await other.chat.completions.create(model=MODEL, messages=user(text), temperature=0, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

            return await asyncio.gather(one(CAPITAL), one("What is 47 + 38?"))

    assert asyncio.run(both()) == [TOKYO, "47 + 38 = 85"]


def rate_limit(client):
    """The test keeps the one place and the queue occupied."""
    error = raises(openai.RateLimitError, 429, lambda: ask(client, CAPITAL), "queue")
    assert int(error.response.headers["retry-after"]) >= 1, error.response.headers


EVERYTHING = [
    models, chat_whole, chat_streamed, chat_helper, several_choices, stop_strings, lengths, seeds, log_probabilities,
    penalties_and_bias, text_completions, structured_answers, tool_calls, responses, messages, errors, asynchronous,
]  # fmt: skip


def main():
    url, part = sys.argv[1:]
    checks = {"everything": EVERYTHING, "one_answer": [chat_whole], "rate_limit": [rate_limit]}[part]
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        for check in checks:
            check(client)
            print(f"{check.__name__}: ok", flush=True)


if __name__ == "__main__":
    main()
