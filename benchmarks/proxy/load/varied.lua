-- wrk script: send the prepared requests of the file named by REQUESTS in turn; print the sums as one JSON line.
-- Without VARIED=1 only the first is sent, byte for byte the same each time.
local requests, at = {}, 0
for one in io.open(os.getenv("REQUESTS"), "rb"):read("*a"):gmatch("[^%z]+") do
  requests[#requests + 1] = one
end
local count = os.getenv("VARIED") == "1" and #requests or 1
function request()
  at = at % count + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %.6f, "errors": %d, "p50_us": %.1f, "p99_us": %.1f}\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
