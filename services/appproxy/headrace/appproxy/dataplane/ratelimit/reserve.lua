-- Judges one request and enters it if it may come in; the arithmetic of policy.py (follow, judge, charge).
-- KEYS: usage (hash), open requests (sorted set: lease -> end of the lease in ms). One hash slot.
-- ARGV: request interval s, request burst s, in flight, token interval s, minute's tokens, tokens a day, day's tokens,
--       lease ('' if nothing is to be settled), lease ms. 0 is no bound.
-- `request` and `token` are moments that were worked out at the rates kept beside them (follow).
-- Answers: allowed, now s, unix s, request full s, token full s, full s, day, day's tokens, in flight; after what was entered.
local time = redis.call('TIME')
local unix = tonumber(time[1]) + tonumber(time[2]) / 1000000
-- Seconds since November 2023: the smaller the number, the finer the double.
local now = (tonumber(time[1]) - 1700000000) + tonumber(time[2]) / 1000000
local now_ms = math.floor(tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000)
local today = math.floor(unix / 86400)
local left_today = 86400 - unix % 86400

local request_interval, request_burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local most_open, token_interval, minute_tokens = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local per_day, day_tokens = tonumber(ARGV[6]), tonumber(ARGV[7])
local lease, lease_ms = ARGV[8], tonumber(ARGV[9])

local kept = redis.call('HMGET', KEYS[1], 'request', 'token', 'full', 'day', 'used', 'request_interval', 'token_interval')
local request, token, full = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0)
local day, used = tonumber(kept[4] or 0), tonumber(kept[5] or 0)
if day ~= today then day, used = today, 0 end
local request_before, token_before = tonumber(kept[6] or 0), tonumber(kept[7] or 0)
local followed = false
if request_interval > 0 and request_interval ~= request_before then
  local scale = request_before > 0 and request_interval / request_before or 1
  request = now + math.min(math.max(0, request - now) * scale, request_burst)
  request_before, followed = request_interval, true
end
if token_interval > 0 and token_interval ~= token_before then
  local scale = token_before > 0 and token_interval / token_before or 1
  local used_s = math.max(0, token - now)
  local debt_s = math.max(0, used_s - 60)
  token = now + math.min((used_s - debt_s) * scale, 60) + math.min(debt_s * scale, 3600)
  token_before, followed = token_interval, true
end
local open = 0
if lease ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_ms)
  open = redis.call('ZCARD', KEYS[2])
end

local allowed = 1
if request_interval > 0 and math.max(request, now) + request_interval - request_burst - now > 1e-7 then allowed = 0 end
if most_open > 0 and open >= most_open then allowed = 0 end
if token_interval > 0 and math.max(token, now) + minute_tokens * token_interval - 60 - now > 1e-7 then allowed = 0 end
if per_day > 0 and used + day_tokens > per_day then allowed = 0 end

if allowed == 1 or followed then
  local keep_s = 60
  if request_interval > 0 then
    if allowed == 1 then request = math.max(request, now) + request_interval end
    keep_s = math.max(keep_s, request - now)
  end
  if token_interval > 0 then
    if allowed == 1 then
      if token <= now then token, full = now, now end
      token = token + minute_tokens * token_interval
    end
    keep_s = math.max(keep_s, token - now)
  end
  if per_day > 0 then
    if allowed == 1 then used = used + day_tokens end
    keep_s = math.max(keep_s, left_today)
  end
  redis.call('HSET', KEYS[1], 'request', string.format('%.17g', request), 'token', string.format('%.17g', token),
    'full', string.format('%.17g', full), 'day', string.format('%d', day), 'used', string.format('%.0f', used),
    'request_interval', string.format('%.17g', request_before), 'token_interval', string.format('%.17g', token_before))
  -- Never sooner than before: what is kept may be of a bound that was just lifted and comes back.
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), math.ceil(keep_s * 1000) + 1000))
  if allowed == 1 and lease ~= '' then
    redis.call('ZADD', KEYS[2], now_ms + lease_ms, lease)
    redis.call('PEXPIRE', KEYS[2], lease_ms)
    open = open + 1
  end
end
return {allowed, string.format('%.17g', now), string.format('%.6f', unix), string.format('%.17g', request),
  string.format('%.17g', token), string.format('%.17g', full), string.format('%d', day), string.format('%.0f', used), open}
