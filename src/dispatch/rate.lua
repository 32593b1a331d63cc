-- Refreshes event_rate: the events of the last 10 minutes, a second.
-- KEYS[1]  the cursor
-- ARGV     expected cursor ('' if absent), key prefix, now in milliseconds, namespaces ...
-- Returns  {'ok'}, or {'moved', cursor} with nothing written.
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] then
  return {'moved', found}
end
local oldest = '(' .. string.format('%.0f', tonumber(ARGV[3]) - 600000)
for i = 4, #ARGV do
  local base = ARGV[2] .. ARGV[i] .. '/'
  redis.pcall('ZREMRANGEBYSCORE', base .. 'EVENT_BUFFER', '-inf', oldest)
  local members = redis.pcall('ZRANGE', base .. 'EVENT_BUFFER', 0, -1)
  if not members.err then
    local sum = 0
    for _, member in ipairs(members) do
      sum = sum + (tonumber(string.match(member, '^[^_]*_(%d+)')) or 0)
    end
    -- Plain decimals: 0, 166.666667, never 1e+06.
    local rate = string.gsub(string.gsub(string.format('%.6f', sum / 600), '0+$', ''), '%.$', '')
    redis.pcall('HSET', base, 'event_rate', rate)
  end
end
return {'ok'}
