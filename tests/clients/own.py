"""A client that somebody wrote from the documentation, with nothing but Python's standard library:
own.py BASE SECRET ALGORITHM SPELLING CALL [NAME=VALUE...]. It prints the answer's elements as JSON.

SPELLING is how its query is put together; BBB has to take them all, since the checksum is over the
bytes as they were sent:
  plus     form encoding, a blank is `+`
  percent  a blank is `%20`, everything reserved is escaped, in lower-case hex
  raw      only what would not survive is escaped: blanks, UTF-8, `&+%#"<>`
  first    the checksum stands before the parameters, and in upper case
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


def request(base, secret, algorithm, spelling, call, pairs):
    quote = QUOTE[spelling]
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    signed = "" if spelling == "form" else query
    checksum = hashlib.new(algorithm, (call + signed + secret).encode()).hexdigest()
    url = f"{base}/{call}"
    if spelling == "form":
        return urllib.request.Request(url, data=f"{query}&checksum={checksum}".encode())
    if spelling == "first":
        return f"{url}?checksum={checksum.upper()}&{query}"
    return f"{url}?{query}&checksum={checksum}"


def main():
    base, secret, algorithm, spelling, call, *pairs = sys.argv[1:]
    pairs = [pair.split("=", 1) for pair in pairs]
    with urllib.request.urlopen(request(base, secret, algorithm, spelling, call, pairs), timeout=30) as answer:
        root = ET.fromstring(answer.read())
    print(json.dumps({element.tag: element.text or "" for element in root}))


main()
