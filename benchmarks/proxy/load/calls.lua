-- wrk script: send the prepared requests of the file named by REQUESTS in turn; print the sums as one JSON line.
-- With CALLERS=n each of n threads is a caller, who sends its own: the requests with its number, its number + n, and so on.
local callers, started = tonumber(os.getenv("CALLERS") or "1"), 0
function setup(thread)
  thread:set("number", started)
  started = started + 1
end
local requests, at = {}, 0
function init(_)
  local i = 0
  for one in io.open(os.getenv("REQUESTS"), "rb"):read("*a"):gmatch("[^%z]+") do
    if i % callers == number % callers then requests[#requests + 1] = one end
    i = i + 1
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %.6f, "errors": %d, "p50_us": %.1f, "p99_us": %.1f}\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
