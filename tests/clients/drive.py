"""Makes one call with the PyPI package bigbluebutton-api-python, as an application would, and prints the response
as the package parsed it, in JSON: drive.py BASE SECRET STEP [ARGUMENT...], arguments in JSON.
"""

import json
import sys

from bigbluebutton_api_python import BigBlueButton
from bigbluebutton_api_python.exception import BBBException


def attendee(person):
    return {"name": person.get_fullname(), "role": person.get_role(), "presenter": person.is_presenter()}


def info(client, meeting):
    response = client.get_meeting_info(meeting)
    found = response.get_meetinginfo()
    return {
        "id": found.get_meetingid(),
        "name": found.get_meetingname(),
        "internal": found.get_internal_meetingid(),
        "voice_bridge": found.get_voicebridge(),
        "participants": found.get_participantcount(),
        "moderators": found.get_moderator_count(),
        "has_user_joined": found.has_user_joined(),
        "recording": found.is_recording(),
        "attendees": [attendee(person) for person in response.get_attendees()],
    }


def create(client, meeting, params, meta):
    response = client.create_meeting(meeting, params, meta)
    return {
        "id": response.get_meetingid(),
        "moderator_pw": response.get_moderator_pw(),
        "attendee_pw": response.get_attendee_pw(),
        "voice_bridge": response.get_voice_bridge(),
        "created": response.get_create_time(),
        "key": response.get_message_key(),
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
    base, secret, step, *arguments = sys.argv[1:]
    try:
        result = STEPS[step](BigBlueButton(base, secret), *map(json.loads, arguments))
    except BBBException as error:
        result = {"failed": error.key, "message": str(error)}
    # The values are of a subclass of str, which json can print.
    print(json.dumps(result))


main()
