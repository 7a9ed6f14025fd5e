"""Asks the simulated provider's endpoints through OpenAI's own SDK and holds every answer against its schema.

Usage: http_check.py http://127.0.0.1:PORT/v1 CALLER.wav
The recording is one line of the demo's caller; what is not as it should be ends the script with an error.
"""

import io
import sys
import wave

import openai
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from realtime_check import unknown_fields

RESPONSE_EVENTS = TypeAdapter(ResponseStreamEvent)

# The API's reference has these; this release of the SDK does not know them yet.
NEWER = {".shutdown_date", ".obfuscation"}

HISTORY = [
    {"role": "system", "content": "You are the night desk of a hotel."},
    {"role": "assistant", "content": "Of course. The door opens with your booking code, and your key waits in the box beside it."},
    {"role": "user", "content": "Good. And what is there to see in town?"},
]
ANSWER = "Happily. You could start at the fish market, which opens at six, walk along"
TOOL = {"name": "room_status", "description": "Looks a room up.", "parameters": {"type": "object"}}


def checked(model):
    """The same object, if its type's schema takes it and knows all of it."""
    again = type(model).model_validate(model.to_dict())
    unknown = set(unknown_fields(again)) - NEWER
    assert not unknown, f"not in the schema: {unknown} of {model}"
    return model


def refused(kind, call, **arguments):
    try:
        call(**arguments)
    except kind as error:
        assert error.body["message"], error
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def chat(client):
    create = client.chat.completions.create
    whole = checked(create(model="gpt-6-luna", messages=HISTORY, max_completion_tokens=400))
    assert whole.choices[0].message.content.startswith(ANSWER), whole
    assert whole.choices[0].finish_reason == "stop"

    stream = create(model="gpt-6-luna", messages=HISTORY, stream=True, stream_options={"include_usage": True})
    chunks = [checked(chunk) for chunk in stream]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content, said
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens

    tools = [{"type": "function", "function": TOOL}]
    call = checked(create(model="m", messages=HISTORY, tools=tools, tool_choice="required")).choices[0].message
    assert call.tool_calls[0].function.name == "room_status"
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "{}"}
    after = checked(create(model="m", messages=[*HISTORY, call.to_dict(), result], tools=tools))
    assert after.choices[0].message.content.startswith(ANSWER)

    error = refused(openai.BadRequestError, create, model="gpt-6-luna", messages=[])
    assert (error.code, error.param) == ("empty_array", "messages"), error
    return len(chunks)


def responses(client):
    create = client.responses.create
    history = [message for message in HISTORY if message["role"] != "system"]
    whole = checked(create(model="gpt-6.1-sol", input=history, instructions=HISTORY[0]["content"]))
    assert whole.output_text.startswith(ANSWER) and whole.status == "completed"

    kinds = []
    said = ""
    for event in create(model="gpt-6.1-sol", input=history, stream=True, max_output_tokens=16):
        unknown = set(unknown_fields(RESPONSE_EVENTS.validate_python(event.to_dict()))) - NEWER
        assert not unknown, f"not in the schema: {unknown} of {event}"
        assert event.sequence_number == len(kinds), event
        kinds.append(event.type)
        said += event.delta if event.type == "response.output_text.delta" else ""
    assert (said, kinds[-1]) == (ANSWER[:64], "response.incomplete"), (said, kinds)
    assert event.response.incomplete_details.reason == "max_output_tokens"

    # The SDK's own helper puts the pieces together again.
    with client.responses.stream(model="gpt-6.1-sol", input="Hello?") as stream:
        stream.until_done()
        assert stream.get_final_response().output_text.startswith("Of course. The door"), stream

    tool = {"type": "function", "strict": False, **TOOL}
    call = checked(create(model="m", input="Hello?", tools=[tool], tool_choice="required")).output[0]
    assert (call.type, call.name) == ("function_call", "room_status")
    refused(openai.BadRequestError, create, model="m", input="Hello?", previous_response_id="resp_1")
    return len(kinds)


def speech(client):
    create = client.audio.speech.with_streaming_response.create
    with create(model="gpt-4o-mini-tts", voice="marin", input="One moment, please.", response_format="pcm") as answer:
        pieces = list(answer.iter_bytes())
    seconds = sum(map(len, pieces)) / 48000
    assert len(pieces) > 3 and 1.2 < seconds < 1.4, (len(pieces), seconds)
    whole = client.audio.speech.create(model="kokoro", voice="af", input="Hello.", response_format="wav").read()
    assert wave.open(io.BytesIO(whole)).getframerate() == 24000
    refused(openai.BadRequestError, client.audio.speech.create, model="m", voice="v", input="x" * 4097)
    return seconds


def transcription(client, recording):
    with open(recording, "rb") as file:
        words = checked(client.audio.transcriptions.create(model="gpt-transcribe", file=file, language="en")).text
    with open(recording, "rb") as file:
        text = client.audio.transcriptions.create(model="whisper-1", file=file, response_format="text")
    with open(recording, "rb") as file:
        verbose = checked(client.audio.transcriptions.create(model="whisper-1", file=file, response_format="verbose_json"))
    with open(recording, "rb") as file:
        events = [checked(event) for event in client.audio.transcriptions.create(model="gpt-transcribe", file=file, stream=True)]
    assert words == text.strip() == verbose.text == events[-1].text == "Sorry, I only want to see the castle.", words
    assert "".join(event.delta for event in events[:-1]) == words
    return words


def main(base_url, recording):
    client = OpenAI(api_key="sk-simulated", base_url=base_url, max_retries=0)
    names = [checked(model).id for model in client.models.list()]
    assert "gpt-realtime-2.1" in names, names
    chunks, events = chat(client), responses(client)
    seconds, words = speech(client), transcription(client, recording)
    wrong = OpenAI(api_key="sk-wrong", base_url=base_url, max_retries=0)
    refused(openai.AuthenticationError, wrong.models.list)
    print(f"{chunks} chunks, {events} events, {seconds:.2f} s of speech and {words!r}, all in the schema")


if __name__ == "__main__":
    main(*sys.argv[1:])
