"""Parses each file with Python's strict parsers, and prints the meetings in it, one line a file."""
import sys
import xml.dom.minidom
import xml.etree.ElementTree

for name in sys.argv[1:]:
    with open(name, "rb") as file:
        body = file.read()
    xml.dom.minidom.parseString(body)
    root = xml.etree.ElementTree.fromstring(body)
    assert root.findtext("returncode") == "SUCCESS", name
    print(",".join(sorted(meeting.findtext("meetingID") for meeting in root.iterfind("meetings/meeting"))))
