// Takes one step with the npm package bigbluebutton-js, as an application would, and prints what it
// made of the answer as JSON: drive.cjs BASE SECRET STEP [ARGUMENT…], arguments in JSON.
'use strict'

const bbb = require('bigbluebutton-js')

const [base, secret, step, ...rest] = process.argv.slice(2)
const given = rest.map((argument) => JSON.parse(argument))
const { administration, monitoring, recording } = bbb.api(base, secret)

// The library makes a URL, and the application hands it to its HTTP client.
const url = {
  create: () => administration.create(...given),
  join: () => administration.join(...given),
  end: () => administration.end(...given),
  info: () => monitoring.getMeetingInfo(...given),
  running: () => monitoring.isMeetingRunning(...given),
  meetings: () => monitoring.getMeetings(),
  recordings: () => recording.getRecordings(...given),
  publish: () => recording.publishRecordings(...given),
  update: () => recording.updateRecordings(...given),
  remove: () => recording.deleteRecordings(...given),
}[step]()

const result = step === 'join' ? Promise.resolve(url) : bbb.http(url)
result.then(
  (value) => console.log(JSON.stringify(value)),
  (error) => {
    console.error(error)
    process.exitCode = 1
  },
)
