// Makes one call with the npm package bigbluebutton-js, as an application would, and prints the response as the
// package parsed it, in JSON: drive.cjs BASE SECRET STEP [ARGUMENT…], arguments in JSON.
'use strict'

const bbb = require('bigbluebutton-js')

const [base, secret, step, ...rest] = process.argv.slice(2)
const args = rest.map((argument) => JSON.parse(argument))
const { administration, monitoring, recording } = bbb.api(base, secret)

// The library builds a URL; the application passes it to its HTTP client.
const url = {
  create: () => administration.create(...args),
  join: () => administration.join(...args),
  end: () => administration.end(...args),
  info: () => monitoring.getMeetingInfo(...args),
  running: () => monitoring.isMeetingRunning(...args),
  meetings: () => monitoring.getMeetings(),
  recordings: () => recording.getRecordings(...args),
  publish: () => recording.publishRecordings(...args),
  update: () => recording.updateRecordings(...args),
  remove: () => recording.deleteRecordings(...args),
}[step]()

const result = step === 'join' ? Promise.resolve(url) : bbb.http(url)
result.then(
  (value) => console.log(JSON.stringify(value)),
  (error) => {
    console.error(error)
    process.exitCode = 1
  },
)
