-- Ends one request; the arithmetic of policy.py (settle).
-- KEYS: usage (hash), open requests (sorted set). ARGV: lease, only if it is still open (0/1), tokens more of the minute's bucket,
--       reserved at s, seconds more of debt at most, day (-1: the present one), tokens more of the day,
--       seconds for a token of the minute when it was reserved (the rate may be another one now).
-- Answers 1, or 0 if nothing was done because the lease had ended.
local was_open = redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] == '1' and was_open == 0 then return 0 end
local more_minute, more = tonumber(ARGV[3]), tonumber(ARGV[7])
if more_minute == 0 and more == 0 then return 1 end

local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1700000000) + tonumber(time[2]) / 1000000
local kept = redis.call('HMGET', KEYS[1], 'token', 'full', 'day', 'used', 'token_interval')
local token, full, keep_ms = tonumber(kept[1] or 0), tonumber(kept[2] or 0), 60000
local interval = tonumber(kept[5] or 0)
local more_s = more_minute * (interval > 0 and interval or tonumber(ARGV[8]))
if more_s < 0 then
  if tonumber(ARGV[4]) >= full then token = token + more_s end
elseif more_s > 0 then
  if token <= now then token, full = now, now end
  token = math.max(token, math.min(token + more_s, now + tonumber(ARGV[5])))
  keep_ms = math.ceil((token - now) * 1000) + 1000
end
redis.call('HSET', KEYS[1], 'token', string.format('%.17g', token), 'full', string.format('%.17g', full))
if more ~= 0 and kept[3] and (ARGV[6] == '-1' or kept[3] == ARGV[6]) then
  redis.call('HSET', KEYS[1], 'used', string.format('%.0f', math.max(0, tonumber(kept[4]) + more)))
end
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), keep_ms))
return 1
