"""A minimal client written from the documentation, with Python's standard library only:
minimal.py BASE SECRET ALGORITHM ENCODING CALL [NAME=VALUE...]. Prints the elements of the response as JSON.

ENCODING is how the query is encoded; BBB must accept every one, since the checksum covers the bytes as sent:
  plus     form encoding, a space is `+`
  percent  a space is `%20`, all reserved characters are escaped, in lower-case hex
  raw      only characters that would not survive are escaped: spaces, UTF-8, `&+%#"<>`
  first    the checksum comes before the parameters, in upper case
  form     a POST with the parameters and the checksum in the body, which is not signed
"""

import hashlib
import json
import re
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET


def percent(text):
    return re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), urllib.parse.quote(text, safe=""))


QUOTE = {
    "plus": urllib.parse.quote_plus,
    "percent": percent,
    "raw": lambda text: urllib.parse.quote(text, safe="!$'()*,-./:;=?@_~"),
    "first": urllib.parse.quote_plus,
    "form": urllib.parse.quote_plus,
}


def request(base, secret, algorithm, encoding, call, pairs):
    quote = QUOTE[encoding]
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    signed = "" if encoding == "form" else query
    checksum = hashlib.new(algorithm, (call + signed + secret).encode()).hexdigest()
    url = f"{base}/{call}"
    if encoding == "form":
        return urllib.request.Request(url, data=f"{query}&checksum={checksum}".encode())
    if encoding == "first":
        return f"{url}?checksum={checksum.upper()}&{query}"
    return f"{url}?{query}&checksum={checksum}"


def main():
    base, secret, algorithm, encoding, call, *pairs = sys.argv[1:]
    pairs = [pair.split("=", 1) for pair in pairs]
    with urllib.request.urlopen(request(base, secret, algorithm, encoding, call, pairs), timeout=30) as response:
        root = ET.fromstring(response.read())
    print(json.dumps({element.tag: element.text or "" for element in root}))


main()
