-- Lets leases last longer; one that Redis has lost is open again. KEYS: open requests (sorted set). ARGV: lease ms, leases.
local time = redis.call('TIME')
local till_ms = math.floor(tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], till_ms, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return #ARGV - 1
