-- Applies changes of the statistics and moves the agent's cursor, in one atomic step.
-- KEYS[1]  the cursor
-- ARGV     expected cursor ('' if absent), new cursor, key prefix, changes as a JSON array of arrays of strings
-- Returns  {'ok', refused changes, first reason}, or {'moved', cursor, ''} with nothing applied.
local expected, new, prefix = ARGV[1], ARGV[2], ARGV[3]
local changes = cjson.decode(ARGV[4])

local found = redis.call('GET', KEYS[1]) or ''
if found ~= expected then
  return {'moved', found, ''}
end
-- First, and with call: if Redis takes no writes now (full, read-only, failing to save) this ends the script while
-- nothing is applied. From here on errors are counted, not raised, because Redis would not undo what came before.
-- The mark behind the number goes in the end: it stays only where a start of Redis applied the beginning of a batch.
redis.call('SET', KEYS[1], new .. '?')

local refused, reason = 0, ''
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    refused = refused + 1
    if reason == '' then
      reason = reply.err
    end
    return nil
  end
  return reply
end

local apply = {
  -- count: namespace, field, by
  c = function(base, change)
    try('HINCRBY', base, change[3], change[4])
  end,
  -- score: namespace, ranking, member, by
  s = function(base, change)
    try('ZINCRBY', base .. change[3], change[5], change[4])
  end,
  -- user seen in a job: namespace, user
  u = function(base, change)
    if try('SADD', base .. 'USERS', change[3]) == 1 then
      try('SET', base .. 'NEW_USERS/' .. change[3], '1', 'EX', '86400')
    end
  end,
  -- user known from the ledger: namespace, user
  k = function(base, change)
    try('SADD', base .. 'USERS', change[3])
  end,
  -- burst of events: namespace, member, milliseconds
  b = function(base, change)
    try('ZADD', base .. 'EVENT_BUFFER', change[4], change[3])
  end,
  -- count raised to at least: namespace, field, value
  C = function(base, change)
    local known = try('HGET', base, change[3])
    if known == false or (known and tonumber(known) and tonumber(known) < tonumber(change[4])) then
      try('HSET', base, change[3], change[4])
    end
  end,
  -- score raised to at least: namespace, ranking, member, value
  S = function(base, change)
    try('ZADD', base .. change[3], 'GT', change[5], change[4])
  end,
}
for _, change in ipairs(changes) do
  apply[change[1]](prefix .. change[2] .. '/', change)
end
redis.call('SET', KEYS[1], new)
return {'ok', refused, reason}
