<?php
// Parses each file with PHP's strict parsers, as Moodle and the BBB library for PHP do, and prints the meetings in
// it, one line a file.
set_error_handler(function (int $level, string $message): bool {
    fwrite(STDERR, "$message\n");
    exit(1);
});
libxml_use_internal_errors(false);
foreach (array_slice($argv, 1) as $name) {
    $body = file_get_contents($name);
    $parser = xml_parser_create();
    if (xml_parse($parser, $body, true) !== 1) {
        trigger_error(xml_error_string(xml_get_error_code($parser)));
    }
    (new DOMDocument())->loadXML($body);
    $root = new SimpleXMLElement($body);
    if ((string) $root->returncode !== 'SUCCESS') {
        trigger_error("returncode in $name");
    }
    $ids = [];
    foreach ($root->xpath('/response/meetings/meeting') as $meeting) {
        $ids[] = (string) $meeting->meetingID;
    }
    sort($ids, SORT_STRING);
    echo implode(',', $ids), "\n";
}
