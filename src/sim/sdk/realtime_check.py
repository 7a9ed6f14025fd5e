"""Talks to the simulated provider through OpenAI's own SDK and holds every event against its published schema.

Usage: realtime_check.py ws://127.0.0.1:PORT/v1 QUESTION.ulaw
The question is raw mu-law, spoken; what is not as it should be ends the script with an error.
"""

import base64
import json
import sys

from openai import OpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

SCHEMA = TypeAdapter(RealtimeServerEvent)

# The server adds these to a session; the SDK reads it as the request it was made of.
ADDED_TO_SESSIONS = {".session.id", ".session.object", ".session.expires_at"}


def unknown_fields(model, path=""):
    """Fields of a parsed event that the schema does not have, as paths."""
    found = [f"{path}.{name}" for name in (model.model_extra or {})]
    for name in type(model).model_fields:
        value = getattr(model, name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                found += unknown_fields(item, f"{path}.{name}")
    return found


class Talk:
    def __init__(self, connection):
        self.connection = connection
        self.kinds = []

    def next(self):
        raw = json.loads(self.connection.recv_bytes())
        event = SCHEMA.validate_python(raw)
        unknown = set(unknown_fields(event)) - ADDED_TO_SESSIONS
        assert not unknown, f"not in the schema: {unknown} of {raw}"
        self.kinds.append(event.type)
        return event

    def until(self, kind):
        while True:
            event = self.next()
            if event.type == kind:
                return event
            assert event.type != "error" or kind == "error", event.error


def main(base_url, question_file):
    with open(question_file, "rb") as file:
        question = file.read()
    client = OpenAI(api_key="sk-simulated", base_url="http://127.0.0.1:9", websocket_base_url=base_url)
    with client.realtime.connect(model="gpt-realtime-2.1") as connection:
        talk = Talk(connection)
        created = talk.until("session.created")
        assert created.session.model == "gpt-realtime-2.1"

        pcmu = {"type": "audio/pcmu"}
        connection.session.update(
            session={
                "type": "realtime",
                "instructions": "You are the night desk of a hotel.",
                "output_modalities": ["audio"],
                "audio": {
                    "input": {
                        "format": pcmu,
                        "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                        "noise_reduction": {"type": "near_field"},
                        "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 400},
                    },
                    "output": {"format": pcmu, "voice": "cedar"},
                },
                "tools": [{"type": "function", "name": "room_status", "parameters": {"type": "object"}}],
                "tool_choice": "auto",
                "max_output_tokens": 1200,
            }
        )
        updated = talk.until("session.updated").session
        assert updated.audio.input.format.type == "audio/pcmu"
        assert updated.audio.output.voice == "cedar"
        assert updated.audio.input.turn_detection.silence_duration_ms == 400

        # The agent greets.
        connection.response.create()
        audio = b""
        while True:
            event = talk.next()
            if event.type == "response.output_audio.delta":
                audio += base64.b64decode(event.delta)
                item_id = event.item_id
            if event.type == "response.done":
                break
        assert event.response.status == "completed", event.response
        assert event.response.usage.output_token_details.audio_tokens == -(-len(audio) // 400)

        # The caller asks, in frames of 20 ms with silence behind.
        line = question + b"\xff" * 8000
        for at in range(0, len(line), 160):
            connection.input_audio_buffer.append(audio=base64.b64encode(line[at : at + 160]).decode())
        started = talk.until("input_audio_buffer.speech_started")
        committed = talk.until("input_audio_buffer.committed")
        assert started.item_id == committed.item_id
        talk.until("response.done")

        # What the caller did not hear of the greeting is cut; past its end is refused.
        connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=500)
        assert talk.until("conversation.item.truncated").audio_end_ms == 500
        connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=501)
        assert "already shorter" in talk.until("error").error.message

        # History, a forced tool call, and its result.
        part = {"type": "input_text", "text": "Is room 204 free?"}
        connection.conversation.item.create(item={"type": "message", "role": "user", "content": [part]})
        talk.until("conversation.item.done")
        connection.response.create(response={"tool_choice": "required"})
        call = talk.until("response.function_call_arguments.done")
        talk.until("response.done")
        result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"free":true}'}
        connection.conversation.item.create(item=result)
        talk.until("conversation.item.done")

        # Text, then a cancelled response, then items looked at and taken out.
        connection.response.create(response={"output_modalities": ["text"], "metadata": {"topic": "rooms"}})
        assert talk.until("response.output_text.done").text
        assert talk.until("response.done").response.metadata == {"topic": "rooms"}
        connection.response.create()
        talk.until("response.output_audio.delta")
        connection.response.cancel()
        assert talk.until("response.done").response.status_details.reason == "client_cancelled"
        connection.conversation.item.retrieve(item_id=item_id)
        assert talk.until("conversation.item.retrieved").item.id == item_id
        connection.conversation.item.delete(item_id=item_id)
        assert talk.until("conversation.item.deleted").item_id == item_id
        if "conversation.item.input_audio_transcription.completed" not in talk.kinds:
            assert talk.until("conversation.item.input_audio_transcription.completed").transcript
        print(f"{len(talk.kinds)} events of {len(set(talk.kinds))} kinds, all in the schema")


if __name__ == "__main__":
    main(*sys.argv[1:])
