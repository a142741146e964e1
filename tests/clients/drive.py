"""Takes one step with the PyPI package bigbluebutton-api-python, as an application would, and prints
what it made of the answer as JSON: drive.py BASE SECRET STEP [ARGUMENT...], arguments in JSON.
"""

import json
import sys

from bigbluebutton_api_python import BigBlueButton
from bigbluebutton_api_python.exception import BBBException


def attendee(person):
    return {"name": person.get_fullname(), "role": person.get_role(), "presenter": person.is_presenter()}


def info(client, meeting):
    answer = client.get_meeting_info(meeting)
    found = answer.get_meetinginfo()
    return {
        "id": found.get_meetingid(),
        "name": found.get_meetingname(),
        "internal": found.get_internal_meetingid(),
        "voice_bridge": found.get_voicebridge(),
        "participants": found.get_participantcount(),
        "moderators": found.get_moderator_count(),
        "has_user_joined": found.has_user_joined(),
        "recording": found.is_recording(),
        "attendees": [attendee(person) for person in answer.get_attendees()],
    }


def create(client, meeting, params, meta):
    answer = client.create_meeting(meeting, params, meta)
    return {
        "id": answer.get_meetingid(),
        "moderator_pw": answer.get_moderator_pw(),
        "attendee_pw": answer.get_attendee_pw(),
        "voice_bridge": answer.get_voice_bridge(),
        "created": answer.get_create_time(),
        "key": answer.get_message_key(),
    }


STEPS = {
    "version": lambda client: client.get_api_version().get_field("version"),
    "create": create,
    "join": lambda client, name, meeting, password: client.get_join_meeting_url(name, meeting, password),
    "running": lambda client, meeting: client.is_meeting_running(meeting).is_meeting_running(),
    "info": info,
    "meetings": lambda client: [m.get_meetingid() for m in client.get_meetings().get_meetings()],
    "end": lambda client, meeting, password: client.end_meeting(meeting, password).get_message_key(),
}


def main():
    base, secret, step, *given = sys.argv[1:]
    try:
        result = STEPS[step](BigBlueButton(base, secret), *map(json.loads, given))
    except BBBException as error:
        result = {"failed": error.key, "message": str(error)}
    # Its values are strings of a class of its own; what is no value is none of ours.
    print(json.dumps(result))


main()
