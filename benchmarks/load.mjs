// Loads a server. Reads {url, connections, seconds, requests} from standard input, as JSON, and
// prints {seconds, latencies, failed}; latencies are in milliseconds. Each connection repeats its
// own part of the requests.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const autocannon = createRequire(process.cwd() + '/')('autocannon')
const { url, connections, seconds, requests } = JSON.parse(readFileSync(0, 'utf8'))

const latencies = []
let failed = 0
let clients = 0
const began = performance.now()
const run = autocannon({
  url,
  connections,
  duration: seconds,
  setupClient: (client) => {
    const first = clients++
    client.setRequests(requests.filter((_, index) => index % connections === first))
  }
})
run.on('response', (_client, status, _bytes, milliseconds) => {
  latencies.push(milliseconds)
  if (status < 200 || status > 299) failed++
})
run.on('reqError', () => failed++)
const done = await run
latencies.sort((one, other) => one - other)
console.log(JSON.stringify({
  seconds: (performance.now() - began) / 1000,
  failed: failed + done.timeouts,
  latencies
}))
